package firmwareconfig

import (
	"strings"

	"gridpost/devices"
)

// title reads what people call a site, a device or a rule.
func (v value) title(dst *devices.Title) {
	before := len(v.p.problems)
	v.fields(
		may("en", func(v value) { v.titleText(&dst.En) }),
		may("zh", func(v value) { v.titleText(&dst.Zh) }),
	)
	if dst.IsZero() && len(v.p.problems) == before {
		v.fail("expected a text in one of the languages en and zh, found none")
	}
}

func (v value) titleText(dst *string) {
	readText(v, func(s string) error {
		if err := devices.CheckTitle(s); err != nil {
			return err
		}
		*dst = s
		return nil
	})
}

// checkTemplateTitle reports a title that all devices of a template would have.
func (v value) checkTemplateTitle(t devices.Title) {
	for _, text := range []string{t.En, t.Zh} {
		if text != "" && !placeholder.MatchString(text) {
			v.fail("expected a placeholder of the topic in each language, because the devices of a template must not share a title, found %s", quote(text))
			return
		}
	}
}

// filled returns a template's title with its placeholders filled; without a text that is not usable then.
func filled(t devices.Title, fill func(string) string) devices.Title {
	text := func(pattern string) string {
		s := strings.TrimSpace(fill(pattern))
		if devices.CheckTitle(s) != nil {
			return ""
		}
		return s
	}
	return devices.Title{En: text(t.En), Zh: text(t.Zh)}
}
