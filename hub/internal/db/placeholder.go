package db

import (
	"strconv"
	"strings"
)

// dollars rewrites the placeholders of SQLite, ? and ?N, to those of PostgreSQL, $N. As in SQLite, a ? has
// the number after the greatest one before it (https://www.sqlite.org/lang_expr.html#varparam).
// Strings, quoted names and comments stay as they are. Not known are comments inside of comments,
// strings with backslashes (E'...') and dollar quotes: no portable text has them.
func dollars(text string) string {
	if strings.IndexByte(text, '?') < 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text) + 16)
	greatest := 0
	for i := 0; i < len(text); {
		if n := opaque(text[i:]); n > 0 {
			out.WriteString(text[i : i+n])
			i += n
			continue
		}
		if text[i] != '?' {
			out.WriteByte(text[i])
			i++
			continue
		}
		i++
		digits := i
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		number, err := strconv.Atoi(text[digits:i])
		if err != nil {
			number, i = greatest+1, digits // no digits, or too many: the engine refuses the text
		}
		greatest = max(greatest, number)
		out.WriteByte('$')
		out.WriteString(strconv.Itoa(number))
	}
	return out.String()
}

// opaque returns the length of the string, quoted name or comment that text begins with; 0 if it begins
// with something else. One without an end goes to the end of the text.
func opaque(text string) int {
	end := ""
	switch {
	case text[0] == '\'' || text[0] == '"': // a doubled quote is the end of one string and the begin of the next
		end = text[:1]
	case strings.HasPrefix(text, "--"):
		end = "\n"
	case strings.HasPrefix(text, "/*"):
		if i := strings.Index(text[2:], "*/"); i >= 0 {
			return 2 + i + 2
		}
		return len(text)
	default:
		return 0
	}
	if i := strings.Index(text[1:], end); i >= 0 {
		return 1 + i + 1
	}
	return len(text)
}
