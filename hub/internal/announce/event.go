package announce

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/devices"
	"gridpost/hub/api/public"
)

// SchemaPath is the path under which the hub serves the JSON Schema of the data of its events.
const SchemaPath = "/api/v1/schemas/incident-event-2.json"

// Presenter returns what completes the data of an alert: a link to the incident, names and absolute URLs.
// base is the URL under which people and systems reach the hub, without a slash at its end; it is called for
// each event. The stored data are those of GET /api/v1/incidents/{id}.
func Presenter(base func() string) func(json.RawMessage) (json.RawMessage, string, error) {
	return func(data json.RawMessage) (json.RawMessage, string, error) {
		var event public.IncidentEvent
		if err := json.Unmarshal(data, &event.Incident); err != nil {
			return nil, "", fmt.Errorf("reading the incident of an alert: %w", err)
		}
		root := base()
		event.Link = root + "/incidents/" + url.PathEscape(event.ID)
		event.Where = where(event.Incident)
		for i, f := range event.Evidence {
			event.Evidence[i].URL = root + f.URL
		}
		out, err := json.Marshal(event)
		if err != nil {
			return nil, "", fmt.Errorf("encoding an event: %w", err)
		}
		return out, root + SchemaPath, nil
	}
}

// where returns the names of an incident's device, edge and site; an edge and a site of one name are named once.
func where(inc public.Incident) string {
	var names []string
	for _, of := range []struct {
		title *devices.Title
		name  string
	}{{inc.DeviceTitle, inc.Device}, {inc.EdgeTitle, inc.Edge}, {siteTitle(inc), inc.Site}} {
		name := of.name
		if of.title != nil {
			name = of.title.Or(name)
		}
		if name != "" && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// siteTitle returns the title of an incident's site, which is known where the edge is the site's only one.
func siteTitle(inc public.Incident) *devices.Title {
	if inc.Site != inc.Edge {
		return nil
	}
	return inc.EdgeTitle
}

// Schema returns the JSON Schema (draft 2020-12) of the data of an event.
func Schema() ([]byte, error) {
	registry, root := schemaRegistry()
	out, err := json.MarshalIndent(struct {
		Schema      string                  `json:"$schema"`
		Title       string                  `json:"title"`
		Ref         string                  `json:"$ref"`
		Definitions map[string]*huma.Schema `json:"$defs"`
	}{"https://json-schema.org/draft/2020-12/schema", "Gridpost incident event, format 2", root.Ref, registry.Map()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the schema of events: %w", err)
	}
	return out, nil
}

func schemaRegistry() (huma.Registry, *huma.Schema) {
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	root := registry.Schema(reflect.TypeFor[public.IncidentEvent](), true, "IncidentEvent")
	for _, s := range registry.Map() {
		s.AdditionalProperties = nil                                         // later versions add properties
		if place := s.Properties["place"]; place != nil && place.Ref != "" { // a pointer, which huma does not know as null
			s.Properties["place"] = &huma.Schema{AnyOf: []*huma.Schema{{Ref: place.Ref}, {Type: "null"}}}
		}
	}
	return registry, root
}
