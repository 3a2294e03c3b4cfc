package firmwareconfig

import (
	"math"

	"gridpost/detection/rules/param"
)

// maxThreads bounds the threads of the object model.
const maxThreads = 64

func (p *parser) detection(v value, d *Detection) {
	v.fields(
		may("model", by(param.Text(&d.Model))),
		may("labels", by(param.Text(&d.Labels))),
		may("rate", by(param.Number(&d.Rate, 1, 30))),
		may("memory", by(param.Number(&d.Memory, 256, 4096))),
		may("budget", by(param.Number(&d.Budget, 1, 10000))),
		may("threads", func(v value) { v.threads(&d.Threads) }),
	)
	if d.Model != "" {
		return
	}
	for _, c := range []struct {
		given bool
		what  string
	}{{d.Labels != "", "the labels"}, {d.Budget != 0, "the budget"}, {d.Threads != 0, "the threads"}} {
		if c.given {
			v.p.fail(v.node.Line, v.join("model"), "expected an ONNX file beside %s, found nothing", c.what)
		}
	}
}

// threads reads how many threads run the object model.
func (v value) threads(dst *int) {
	var n float64
	if !param.Number(&n, 1, maxThreads)(v) {
		return
	}
	if n != math.Trunc(n) {
		v.fail("expected a whole number of threads, found %s", v.found())
		return
	}
	*dst = int(n)
}
