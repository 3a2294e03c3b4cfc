package decode

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWord bounds a value that is compared with words, in bytes.
const maxWord = 256

// Word returns a word of a mapping, or a value of a document as text, in the form in which both are
// compared: without the space around it, in lower case, and a number in its shortest form, so that
// 1, 1.0 and "1" are the same.
func Word(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) > maxWord {
		return text
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return text
}

// scalar returns a value of a document as text; ok is false for null, objects and lists.
func scalar(v any) (text string, ok bool) {
	switch c := v.(type) {
	case bool:
		return strconv.FormatBool(c), true
	case json.Number:
		return c.String(), true
	case string:
		return strings.Trim(strings.ToValidUTF8(c, string(utf8.RuneError)), " \t\r\n\x00"), true
	}
	return "", false
}

// unavailable reports whether a word says that there is no value at present.
func unavailable(word string) bool {
	if strings.Trim(word, "-") == "" {
		return true
	}
	if mark := strings.Index(word, "1.#"); mark >= 0 && mark <= 1 { // 1.#QNAN, -1.#IND00: NaN and infinity of Microsoft's C library
		return true
	}
	switch strings.ReplaceAll(word, "_", " ") {
	case "nan", "-nan", "+nan", "nan(ind)", "-nan(ind)", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity",
		"unavailable", "unknown", "null", "none", "nil", "undefined", "n/a", "#n/a", "n.a.", "na", "not available", "no sensor", "error", "fault", "invalid", "故障", "无效":
		return true
	}
	return false
}

// switched returns the value of a state, as sensors write it in practice.
func switched(word string) (value float64, ok bool) {
	switch strings.ReplaceAll(word, "_", " ") {
	case "on", "open", "opened", "true", "yes", "alarm", "alert", "leak", "leaking", "wet", "occupied", "detected", "motion", "active", "present", "triggered", "pressed", "flooded", "unlocked", "smoke", "fire",
		"开", "打开", "开启", "是", "报警", "告警", "漏水", "有水", "有人":
		return 1, true
	case "off", "close", "closed", "false", "no", "ok", "normal", "dry", "vacant", "unoccupied", "clear", "cleared", "not detected", "undetected", "no leak", "no motion", "inactive", "idle", "absent", "released", "locked", "safe",
		"关", "关闭", "否", "正常", "无水", "无人":
		return 0, true
	}
	return 0, false
}
