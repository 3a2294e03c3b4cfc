package decode

import "strings"

// measure is a unit of a dimension: a value in the dimension's first unit is value*factor + offset.
type measure struct {
	dimension      string
	factor, offset float64
}

// measureOf returns what is known of a unit as devices write it.
func measureOf(unit string) (m measure, ok bool) {
	switch unit { // whose case matters
	case "mW":
		return measure{"power", 1e-3, 0}, true
	case "MW":
		return measure{"power", 1e6, 0}, true
	case "mPa":
		return measure{"pressure", 1e-3, 0}, true
	case "MPa":
		return measure{"pressure", 1e6, 0}, true
	case "K":
		return measure{"temperature", 1, -273.15}, true
	}
	switch strings.ToLower(unit) {
	case "m", "meter", "meters", "metre", "metres", "米":
		return measure{"length", 1, 0}, true
	case "mm", "毫米":
		return measure{"length", 1e-3, 0}, true
	case "cm", "厘米":
		return measure{"length", 1e-2, 0}, true
	case "km":
		return measure{"length", 1e3, 0}, true
	case "in", "inch", "inches":
		return measure{"length", 0.0254, 0}, true
	case "ft", "feet":
		return measure{"length", 0.3048, 0}, true
	case "°c", "℃", "c", "degc", "celsius", "摄氏度":
		return measure{"temperature", 1, 0}, true
	case "°f", "℉", "f", "degf", "fahrenheit":
		return measure{"temperature", 5. / 9, -160. / 9}, true
	case "kelvin":
		return measure{"temperature", 1, -273.15}, true
	case "pa":
		return measure{"pressure", 1, 0}, true
	case "hpa", "mbar":
		return measure{"pressure", 100, 0}, true
	case "kpa":
		return measure{"pressure", 1e3, 0}, true
	case "bar":
		return measure{"pressure", 1e5, 0}, true
	case "psi":
		return measure{"pressure", 6894.757293168, 0}, true
	case "v":
		return measure{"voltage", 1, 0}, true
	case "mv":
		return measure{"voltage", 1e-3, 0}, true
	case "kv":
		return measure{"voltage", 1e3, 0}, true
	case "a":
		return measure{"current", 1, 0}, true
	case "ma":
		return measure{"current", 1e-3, 0}, true
	case "w":
		return measure{"power", 1, 0}, true
	case "kw":
		return measure{"power", 1e3, 0}, true
	case "wh":
		return measure{"energy", 1, 0}, true
	case "kwh":
		return measure{"energy", 1e3, 0}, true
	case "%", "%rh", "percent", "pct", "％":
		return measure{"share", 1, 0}, true
	case "g":
		return measure{"mass", 1e-3, 0}, true
	case "kg":
		return measure{"mass", 1, 0}, true
	case "t":
		return measure{"mass", 1e3, 0}, true
	case "l":
		return measure{"volume", 1e-3, 0}, true
	case "ml":
		return measure{"volume", 1e-6, 0}, true
	case "m3", "m³", "立方米":
		return measure{"volume", 1, 0}, true
	case "m3/s", "m³/s":
		return measure{"flow", 1, 0}, true
	case "m3/h", "m³/h":
		return measure{"flow", 1. / 3600, 0}, true
	case "l/s":
		return measure{"flow", 1e-3, 0}, true
	case "l/min":
		return measure{"flow", 1e-3 / 60, 0}, true
	case "m/s":
		return measure{"speed", 1, 0}, true
	case "km/h", "kmh", "kph":
		return measure{"speed", 1 / 3.6, 0}, true
	case "mph":
		return measure{"speed", 0.44704, 0}, true
	case "s", "sec", "秒":
		return measure{"time", 1, 0}, true
	case "ms":
		return measure{"time", 1e-3, 0}, true
	case "min":
		return measure{"time", 60, 0}, true
	case "h":
		return measure{"time", 3600, 0}, true
	case "ppm":
		return measure{"fraction", 1, 0}, true
	case "ppb":
		return measure{"fraction", 1e-3, 0}, true
	case "lx", "lux":
		return measure{"light", 1, 0}, true
	case "db", "dba":
		return measure{"sound", 1, 0}, true
	case "dbm":
		return measure{"signal", 1, 0}, true
	case "°", "deg", "degree", "degrees":
		return measure{"angle", 1, 0}, true
	case "hz":
		return measure{"frequency", 1, 0}, true
	case "khz":
		return measure{"frequency", 1e3, 0}, true
	}
	return measure{}, false
}

// convert returns a value in another unit; ok is false when one of them is not known or they measure
// different things.
func convert(value float64, from, to string) (float64, bool) {
	if strings.EqualFold(from, to) && !strings.Contains("mW MW mPa MPa", from) {
		return value, true
	}
	f, known := measureOf(from)
	t, also := measureOf(to)
	if !known || !also || f.dimension != t.dimension {
		return 0, false
	}
	if f == t {
		return value, true
	}
	return (value*f.factor + f.offset - t.offset) / t.factor, true
}
