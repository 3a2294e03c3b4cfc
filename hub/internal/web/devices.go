package web

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/nearby"
	"gridpost/hub/internal/store"
)

type devicesInput struct {
	Page
	Edge string `query:"edge" maxLength:"40"`
	Kind string `query:"kind" enum:"camera,sensor"`
}

type devicesOutput struct {
	Body struct {
		Devices []api.DeviceRecord `json:"devices"`
		Next    *string            `json:"next"`
	}
}

type readingsInput struct {
	Edge   string    `path:"edge" maxLength:"40"`
	Device string    `path:"device" maxLength:"40"`
	From   time.Time `query:"from" doc:"24 hours ago unless given"`
	To     time.Time `query:"to" doc:"now unless given"`
	Limit  int       `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
}

type readingsOutput struct {
	Body struct {
		Readings []devices.Reading `json:"readings"`
	}
}

type gapsInput struct {
	Name  string `path:"name" maxLength:"40"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type gapsOutput struct {
	Body struct {
		Gaps []store.Gap `json:"gaps"`
	}
}

func (s *Server) gaps(ctx context.Context, in *gapsInput) (*gapsOutput, error) {
	if _, err := s.o.Store.Edge(ctx, in.Name); err != nil {
		return nil, err
	}
	out := &gapsOutput{}
	var err error
	out.Body.Gaps, err = s.o.Store.Gaps(ctx, in.Name, in.Limit)
	return out, err
}

type edgesOutput struct {
	Body struct {
		Edges []api.EdgeRecord `json:"edges"`
		Next  *string          `json:"next"`
	}
}

// optional is a query parameter that may be missing.
type optional[T any] struct {
	Value T
	Set   bool
}

// Schema implements huma.SchemaProvider.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(set bool, _ any) { o.Set = set }

type nearbyInput struct {
	Incident string            `query:"incident" maxLength:"80" doc:"an incident's ID; or else lat and lon"`
	Lat      optional[float64] `query:"lat" minimum:"-90" maximum:"90"`
	Lon      optional[float64] `query:"lon" minimum:"-180" maximum:"180"`
	Radius   float64           `query:"radius" default:"2000" minimum:"1" maximum:"50000" doc:"metres"`
	Limit    int               `query:"limit" default:"20" minimum:"1" maximum:"200"`
}

type nearbyOutput struct {
	Body struct {
		Nearby []nearby.Ranked `json:"nearby"`
		Sees   bool            `json:"sees" doc:"whether any camera sees the place"`
		Reason string          `json:"reason" doc:"why none is good, in words; empty if one is"`
		Place  *devices.Place  `json:"place"`
	}
}

func (s *Server) registerDevices() {
	tags := []string{"devices"}
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-devices", Method: http.MethodGet, Path: "/api/v1/devices", Tags: tags, Summary: "Cameras and sensors",
	}, s.listDevices)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-readings", Method: http.MethodGet, Path: "/api/v1/devices/{edge}/{device}/readings", Tags: tags,
		Summary: "What a sensor has measured, oldest first",
	}, s.listReadings)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "nearby", Method: http.MethodGet, Path: "/api/v1/nearby", Tags: tags, Errors: []int{http.StatusNotFound},
		Summary: "The cameras near an incident or a place, best first, each with the reason of its rank",
	}, s.nearby)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-gaps", Method: http.MethodGet, Path: "/api/v1/edges/{name}/gaps", Tags: tags,
		Summary: "What an edge has lost for good and will never deliver, the newest first", Errors: []int{http.StatusNotFound},
	}, s.gaps)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-edges", Method: http.MethodGet, Path: "/api/v1/edges", Tags: tags, Summary: "Edges",
	}, func(ctx context.Context, _ *struct{}) (*edgesOutput, error) {
		out := &edgesOutput{}
		var err error
		out.Body.Edges, err = s.o.Store.Edges(ctx)
		return out, err
	})
}

func (s *Server) listDevices(ctx context.Context, in *devicesInput) (*devicesOutput, error) {
	after, err := in.parts(1)
	if err != nil {
		return nil, err
	}
	all, err := s.o.Store.Devices(ctx, store.DeviceQuery{Edge: in.Edge, Kind: in.Kind, After: after[0], Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &devicesOutput{}
	out.Body.Devices = all
	out.Body.Next = next(in.Page, all, func(last api.DeviceRecord) string { return cursor(last.Edge + "/" + last.Name) })
	return out, nil
}

func (s *Server) listReadings(ctx context.Context, in *readingsInput) (*readingsOutput, error) {
	if in.To.IsZero() {
		in.To = time.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-24 * time.Hour)
	}
	out := &readingsOutput{}
	var err error
	out.Body.Readings, err = s.o.Store.Readings(ctx, in.Edge, in.Device, in.From, in.To, in.Limit)
	return out, err
}

func (s *Server) nearby(ctx context.Context, in *nearbyInput) (*nearbyOutput, error) {
	out := &nearbyOutput{}
	out.Body.Nearby = []nearby.Ranked{}
	switch {
	case in.Incident != "":
		inc, err := s.o.Store.Incident(ctx, in.Incident)
		if err != nil {
			return nil, err
		}
		if inc.Place == nil {
			out.Body.Reason = "it is not known where the incident is"
			return out, nil
		}
		out.Body.Place = inc.Place
	case in.Lat.Set && in.Lon.Set:
		out.Body.Place = &devices.Place{Lat: in.Lat.Value, Lon: in.Lon.Value}
	default:
		return nil, huma.Error422UnprocessableEntity("either incident or lat and lon must be given")
	}
	at := out.Body.Place
	near, err := s.o.Store.CamerasWithin(ctx, at.Lat, at.Lon, in.Radius)
	if err != nil {
		return nil, err
	}
	cams := make([]nearby.Camera, len(near))
	for i, d := range near {
		cams[i] = nearby.Camera{Edge: d.Edge, Device: d.Name, Place: d.Place, State: d.State, Cause: devices.Cause{Code: d.CauseCode, Params: d.CauseParams, Text: d.Cause}}
	}
	ranked := nearby.Rank(nearby.Point{Lat: at.Lat, Lon: at.Lon}, cams)
	out.Body.Sees = nearby.Sees(ranked)
	switch {
	case len(ranked) == 0:
		out.Body.Reason = "there is no camera near the place"
	case !out.Body.Sees:
		out.Body.Reason = "no camera sees the place"
	}
	out.Body.Nearby = ranked[:min(len(ranked), in.Limit)]
	return out, nil
}
