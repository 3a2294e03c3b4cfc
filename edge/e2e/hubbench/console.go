package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gridpost/edge/e2e/rig"
)

const (
	looks    = 40 // of each kind of filter
	lookEnds = 20 * time.Second
)

// consoleFigure is how fast filters are on the screen of a console before a hub with many incidents.
type consoleFigure struct {
	Engine    string            `json:"engine"`
	Incidents int               `json:"incidents"`
	Filters   map[string]spread `json:"filters"` // from the choice to the frame after the first row stands there
	All       spread            `json:"all"`
}

// measureConsole fills a database, starts a hub on it and filters the list of incidents in a browser.
func measureConsole(ctx context.Context, o options, e engine) (f consoleFigure, err error) {
	f = consoleFigure{Engine: e.name, Incidents: o.incidents, Filters: map[string]spread{}}
	h, err := rig.StartHubWith(ctx, o.programs, e.dir, rig.HubOptions{Database: e.url})
	if err != nil {
		return f, err
	}
	defer h.Kill()
	const password = "correct horse battery"
	if err := h.AddUser(ctx, "anna", password, "dispatcher"); err != nil {
		return f, err
	}
	if err := h.Stop(); err != nil {
		return f, err
	}
	progress("%s: writing %d incidents", e.name, o.incidents)
	if err := seed(ctx, o, e, h.Data()); err != nil {
		return f, err
	}
	if err := h.Start(ctx); err != nil {
		return f, err
	}
	b, err := rig.OpenBrowser(ctx, h.URL, filepath.Join(e.dir, "profile"))
	if err != nil {
		return f, err
	}
	defer b.Close()
	if err := b.LogIn("anna", password); err != nil {
		return f, err
	}
	if err := b.Run(2*time.Minute, "waiting for the incidents", chromedp.WaitVisible("#incidents .incident")); err != nil {
		return f, err
	}
	return f, f.filter(ctx, h, b)
}

// filters are queries of the list's address, with those of the API that give the same first closed incident.
func filters() map[string]func(r *rand.Rand) (page, api url.Values) {
	same := func(pairs func(r *rand.Rand) []string) func(r *rand.Rand) (page, api url.Values) {
		return func(r *rand.Rand) (page, api url.Values) {
			page, api = url.Values{}, url.Values{}
			all := pairs(r)
			for i := 0; i < len(all); i += 2 {
				page.Set(all[i], all[i+1])
				api.Set(all[i], all[i+1])
			}
			if site := page.Get("site"); site != "" {
				api.Del("site")
				api.Set("edge", site)
			}
			return page, api
		}
	}
	site := func(r *rand.Rand) string { return fmt.Sprintf("seed-%d", r.IntN(100)+1) }
	some := func(r *rand.Rand, all ...string) string { return all[r.IntN(len(all))] }
	return map[string]func(r *rand.Rand) (page, api url.Values){
		"site":          same(func(r *rand.Rand) []string { return []string{"site", site(r)} }),
		"site_severity": same(func(r *rand.Rand) []string { return []string{"site", site(r), "severity", "severe,extreme"} }),
		"site_outcome":  same(func(r *rand.Rand) []string { return []string{"site", site(r), "outcome", "false_alarm"} }),
		"site_assignee": same(func(r *rand.Rand) []string { return []string{"site", site(r), "assignee", "li.wei"} }),
		"severity": same(func(r *rand.Rand) []string {
			return []string{"severity", some(r, "extreme", "minor", "severe,extreme")}
		}),
		"outcome": same(func(r *rand.Rand) []string {
			return []string{"outcome", some(r, "false_alarm", "dealt_with", "handed_on")}
		}),
		"by_severity": same(func(r *rand.Rand) []string {
			return []string{"sort", "severity", "order", some(r, "asc", ""), "site", site(r)}
		}),
		"by_device": same(func(r *rand.Rand) []string { return []string{"sort", "device", "order", "asc", "site", site(r)} }),
		"words": same(func(r *rand.Rand) []string {
			return []string{"q", some(r, "smoke", "crossing", "水位", "fallen tree")}
		}),
		"rare_word":  same(func(r *rand.Rand) []string { return []string{"q", fmt.Sprintf("serial%d", r.IntN(1000))} }),
		"words_site": same(func(r *rand.Rand) []string { return []string{"q", some(r, "smoke", "river"), "site", site(r)} }),
		"period": func(r *rand.Rand) (page, api url.Values) {
			from := time.Now().Add(-time.Duration(10*24+r.IntN(300*24)) * time.Hour).Truncate(time.Minute)
			to := from.Add(8 * time.Hour)
			const field = "2006-01-02T15:04"
			page = url.Values{"since": {"range"}, "from": {from.Local().Format(field)}, "to": {to.Local().Format(field)}}
			return page, url.Values{"since": {from.UTC().Format(time.RFC3339)}, "until": {to.UTC().Format(time.RFC3339)}}
		},
	}
}

// filter asks the hub what comes first for each filter, which is not measured, and then has the console show it.
func (f *consoleFigure) filter(ctx context.Context, h *rig.Hub, b *rig.Browser) error {
	r := rand.New(rand.NewPCG(3, 4))
	var all samples
	for name, choose := range filters() {
		var times samples
		for range looks {
			page, api := choose(r)
			page.Set("state", "closed")
			page.Set("apart", "1")
			api.Set("state", "closed")
			api.Set("limit", "1")
			if api.Get("order") == "" {
				api.Del("order")
			}
			var first struct {
				Incidents []struct {
					ID string `json:"id"`
				} `json:"incidents"`
			}
			if err := h.Get(ctx, "/api/v1/incidents?"+api.Encode(), &first); err != nil {
				return err
			}
			if len(first.Incidents) == 0 {
				continue // of few incidents, some filters find none
			}
			took, err := look(b, "/incidents?"+page.Encode(), first.Incidents[0].ID)
			if err != nil {
				return err
			}
			times.add(took)
			all.add(took)
		}
		f.Filters[name] = times.spread()
		progress("%s: console %-16s p95 %.1f ms", f.Engine, name, f.Filters[name].P95)
	}
	f.All = all.spread()
	return nil
}

// follow clears the list, follows an address within the console and returns how many ms it took until the first
// row was the one that is wanted, and had been drawn.
const follow = `(async (path, want, limit) => {
  const go = (to) => { const a = document.createElement("a"); a.href = to; document.body.append(a); a.click(); a.remove(); };
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const first = () => document.querySelector("#incidents .incident")?.dataset.id ?? "";
  const until = async (what, there) => {
    const end = performance.now() + limit;
    while (!there()) {
      if (performance.now() > end) throw new Error("waited for " + what + " at " + location.search + ", which shows " + document.querySelector(".view")?.innerText.slice(0, 400));
      await frame();
    }
  };
  go("/incidents?kind=none");
  await until("an empty list before " + path, () => first() === "" && document.querySelector(".view .empty"));
  await frame();
  await new Promise((done) => setTimeout(done, 100)); // Chromium ignores more than 200 changes of the address in 10 s
  const began = performance.now();
  go(path);
  await until(want, () => first() === want);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
})`

func look(b *rig.Browser, path, want string) (time.Duration, error) {
	args := make([]string, 3)
	for i, v := range []any{path, want, lookEnds.Milliseconds()} {
		text, err := json.Marshal(v)
		if err != nil {
			return 0, fmt.Errorf("writing an argument: %w", err)
		}
		args[i] = string(text)
	}
	var ms float64
	awaited := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	err := b.Run(2*lookEnds, "looking at "+path, chromedp.Evaluate(follow+"("+strings.Join(args, ", ")+")", &ms, awaited))
	return time.Duration(ms * float64(time.Millisecond)), err
}
