package app

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// figures collects what the hub's parts count, at the moment somebody asks.
type figures struct {
	h     *hub
	descs map[string]*prometheus.Desc
}

// scrapeLimit is how long the store may take to count.
const scrapeLimit = 5 * time.Second

func (h *hub) register(r *prometheus.Registry, version string) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gridpost_hub_build_info", Help: "1, with the version of the hub.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, newFigures(h),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func newFigures(h *hub) *figures {
	f := &figures{h: h, descs: map[string]*prometheus.Desc{}}
	for name, help := range map[string]string{
		"batches_total":                 "Batches of events committed.",
		"events_applied_total":          "Events applied.",
		"events_known_total":            "Events that had been applied before.",
		"events_refused_total":          "Events that can never be applied.",
		"edge_requests_denied_total":    "Requests on the edge port without an accepted certificate or token.",
		"evidence_bytes_total":          "Bytes of evidence received.",
		"viewers":                       "Viewers of live video now.",
		"upstreams":                     "Live pictures that edges send now.",
		"views_total":                   "Views begun.",
		"relay_commands_total":          "Publish commands sent to edges.",
		"relay_in_packets_total":        "RTP packets from edges.",
		"relay_in_bytes_total":          "RTP payload from edges.",
		"relay_in_lost_packets_total":   "RTP packets of edges that never came.",
		"relay_out_packets_total":       "RTP packets to viewers.",
		"relay_out_bytes_total":         "RTP payload to viewers.",
		"relay_dropped_packets_total":   "RTP packets not sent to viewers that could not follow.",
		"relay_retransmitted_total":     "RTP packets sent again.",
		"relay_key_requests_total":      "Key pictures asked for by viewers.",
		"webhook_delivered_total":       "Deliveries accepted by webhook targets.",
		"webhook_failed_attempts_total": "Attempts that webhook targets did not accept.",
		"webhook_dead_deliveries_total": "Deliveries given up.",
		"last_change":                   "Number of the newest line of the live stream.",
	} {
		f.descs[name] = prometheus.NewDesc("gridpost_hub_"+name, help, nil, nil)
	}
	f.descs["incidents"] = prometheus.NewDesc("gridpost_hub_incidents", "Incidents that are not closed.", []string{"state"}, nil)
	f.descs["devices"] = prometheus.NewDesc("gridpost_hub_devices", "Devices by what they are and how they do.", []string{"kind", "state"}, nil)
	f.descs["edges"] = prometheus.NewDesc("gridpost_hub_edges", "Edges that are not revoked.", []string{"state"}, nil)
	return f
}

// Describe implements prometheus.Collector.
func (f *figures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range f.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	count := func(name string, v uint64) {
		out <- prometheus.MustNewConstMetric(f.descs[name], prometheus.CounterValue, float64(v))
	}
	gauge := func(name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(f.descs[name], prometheus.GaugeValue, v, labels...)
	}
	in := f.h.ingest.Stats()
	count("batches_total", in.Batches)
	count("events_applied_total", in.Applied)
	count("events_known_total", in.Known)
	count("events_refused_total", in.Refused)
	count("edge_requests_denied_total", in.Denied)
	count("evidence_bytes_total", in.EvidenceBytes)
	media := f.h.relay.Stats()
	gauge("viewers", float64(media.Viewers))
	gauge("upstreams", float64(media.Upstreams))
	count("views_total", media.Views)
	count("relay_commands_total", media.Commands)
	count("relay_in_packets_total", media.PacketsIn)
	count("relay_in_bytes_total", media.BytesIn)
	count("relay_in_lost_packets_total", media.LostIn)
	count("relay_out_packets_total", media.PacketsOut)
	count("relay_out_bytes_total", media.BytesOut)
	count("relay_dropped_packets_total", media.PacketsDropped)
	count("relay_retransmitted_total", media.Retransmitted)
	count("relay_key_requests_total", media.PLIs)
	hooks := f.h.notifier.Stats()
	count("webhook_delivered_total", hooks.Delivered)
	count("webhook_failed_attempts_total", hooks.Failed)
	count("webhook_dead_deliveries_total", hooks.Dead)
	f.stored(gauge)
}

// stored counts what the store holds. Figures that it cannot give are left out, and the log
// says why.
func (f *figures) stored(gauge func(name string, v float64, labels ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	for name, ask := range map[string]func(context.Context) (map[string]int, error){
		"incidents": f.h.store.CountIncidents, "devices": f.h.store.CountDevices, "edges": f.h.store.CountEdges,
	} {
		counts, err := ask(ctx)
		if err != nil {
			f.h.log.Error("counting for metrics", "error", err)
			continue
		}
		for labels, n := range counts {
			gauge(name, float64(n), strings.Split(labels, " ")...)
		}
	}
	last, err := f.h.store.LastChange(ctx)
	if err != nil {
		f.h.log.Error("counting for metrics", "error", err)
		return
	}
	gauge("last_change", float64(last))
}
