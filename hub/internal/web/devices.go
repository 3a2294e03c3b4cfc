package web

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/devices"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/nearby"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/telemetry"
)

type devicesInput struct {
	Page
	Edge string `query:"edge" maxLength:"40"`
	Kind string `query:"kind" enum:"camera,sensor"`
}

type devicesOutput struct {
	Body struct {
		Devices []public.DeviceRecord `json:"devices"`
		Next    *string               `json:"next"`
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
		Gaps []public.Gap `json:"gaps"`
	}
}

func (s *Server) gaps(ctx context.Context, in *gapsInput) (*gapsOutput, error) {
	if _, err := s.o.Edges.Edge(ctx, who(ctx).Scope, in.Name); err != nil {
		return nil, err
	}
	all, err := s.o.Telemetry.Gaps(ctx, who(ctx).Scope, in.Name, in.Limit)
	out := &gapsOutput{}
	out.Body.Gaps = make([]public.Gap, len(all))
	for i, g := range all {
		out.Body.Gaps[i] = present.Gap(g)
	}
	return out, err
}

type edgesOutput struct {
	Body struct {
		Edges []public.EdgeRecord `json:"edges"`
		Next  *string             `json:"next"`
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
	register(s, huma.Operation{
		OperationID: "list-devices", Tags: tags, Summary: "Cameras and sensors",
	}, s.listDevices)
	register(s, huma.Operation{
		OperationID: "list-readings", Tags: tags,
		Summary: "What a sensor has measured, oldest first",
	}, s.listReadings)
	register(s, huma.Operation{
		OperationID: "nearby", Tags: tags, Errors: []int{http.StatusNotFound},
		Summary: "The cameras near an incident or a place, best first, each with the reason of its rank",
	}, s.nearby)
	register(s, huma.Operation{
		OperationID: "list-gaps", Tags: tags,
		Summary: "What an edge has lost for good and will never deliver, the newest first", Errors: []int{http.StatusNotFound},
	}, s.gaps)
	register(s, huma.Operation{
		OperationID: "list-edges", Tags: tags, Summary: "Edges",
	}, func(ctx context.Context, _ *struct{}) (*edgesOutput, error) {
		out := &edgesOutput{}
		all, err := s.o.Edges.Edges(ctx, who(ctx).Scope)
		out.Body.Edges = make([]public.EdgeRecord, len(all))
		for i, e := range all {
			out.Body.Edges[i] = present.Edge(e)
		}
		return out, err
	})
}

func (s *Server) listDevices(ctx context.Context, in *devicesInput) (*devicesOutput, error) {
	after, err := in.parts(1)
	if err != nil {
		return nil, err
	}
	q := edges.DeviceQuery{Edge: in.Edge, Kind: devices.Kind(in.Kind), Limit: in.Limit}
	q.After.Edge, q.After.Name, _ = strings.Cut(after[0], "/")
	all, err := s.o.Edges.Devices(ctx, who(ctx).Scope, q)
	if err != nil {
		return nil, err
	}
	out := &devicesOutput{}
	if out.Body.Devices, err = s.presentDevices(ctx, all); err != nil {
		return nil, err
	}
	out.Body.Next = next(in.Page, out.Body.Devices, func(last public.DeviceRecord) string { return cursor(last.Edge + "/" + last.Name) })
	return out, nil
}

func (s *Server) listReadings(ctx context.Context, in *readingsInput) (*readingsOutput, error) {
	if in.To.IsZero() {
		in.To = time.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-24 * time.Hour)
	}
	all, err := s.o.Telemetry.Readings(ctx, who(ctx).Scope, in.Edge, in.Device, in.From, in.To, in.Limit)
	if err != nil {
		return nil, err
	}
	unit := ""
	switch d, err := s.o.Edges.Device(ctx, who(ctx).Scope, in.Edge, in.Device); {
	case err == nil:
		unit = d.Unit
	case !errors.Is(err, db.ErrNotFound): // the readings of a device outlive it
		return nil, err
	}
	out := &readingsOutput{}
	out.Body.Readings = all
	for i := range all {
		all[i].Unit = unit
	}
	return out, nil
}

// presentDevices returns devices with their newest readings.
func (s *Server) presentDevices(ctx context.Context, all []edges.Device) ([]public.DeviceRecord, error) {
	keys := make([]telemetry.Key, len(all))
	for i, d := range all {
		keys[i] = telemetry.Key{Edge: d.Edge, Device: d.Name}
	}
	newest, err := s.o.Telemetry.Newest(ctx, who(ctx).Scope, keys)
	if err != nil {
		return nil, err
	}
	out := make([]public.DeviceRecord, len(all))
	for i, d := range all {
		out[i] = present.Device(d)
		if n, ok := newest[keys[i]]; ok {
			out[i].Reading = present.Reading(n, d.Unit)
		}
	}
	return out, nil
}

func (s *Server) nearby(ctx context.Context, in *nearbyInput) (*nearbyOutput, error) {
	out := &nearbyOutput{}
	out.Body.Nearby = []nearby.Ranked{}
	switch {
	case in.Incident != "":
		inc, err := s.o.Incidents.Get(ctx, who(ctx).Scope, in.Incident)
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
		return nil, problem.New("place_missing")
	}
	at := out.Body.Place
	near, err := s.o.Edges.CamerasWithin(ctx, who(ctx).Scope, at.Lat, at.Lon, in.Radius)
	if err != nil {
		return nil, err
	}
	ranked := rankCameras(*at, near)
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

// rankCameras ranks cameras for a place.
func rankCameras(at devices.Place, near []edges.Device) []nearby.Ranked {
	cams := make([]nearby.Camera, len(near))
	for i, d := range near {
		cams[i] = nearby.Camera{Edge: d.Edge, Device: d.Name, Place: d.Place, State: d.State, Cause: d.Cause}
	}
	return nearby.Rank(nearby.Point{Lat: at.Lat, Lon: at.Lon}, cams)
}
