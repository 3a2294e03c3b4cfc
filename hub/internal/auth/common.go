package auth

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gridpost/hub/internal/problem"
)

// commonPasswords are passwords that attackers try first, in lower case and in order, a line for each. Those with less than
// minPassword characters are left out.
//
//go:embed common_passwords.txt
var commonPasswords string

// maxAdded is how many digits and signs behind a common word do not make it a better password, as in password2025!.
const maxAdded = 5

// checkNewPassword returns a *problem.Error for a password that a user may not choose: one of the wrong length, or one
// that is guessed first (NIST SP 800-63B, section 5.1.1.2: commonly used ones, repetitions and sequences, the user's name).
func checkNewPassword(name, password string) error {
	if utf8.RuneCountInString(password) < minPassword || len(password) > maxPassword {
		return passwordLength()
	}
	text := strings.ToLower(password)
	word := strings.TrimRightFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	if utf8.RuneCountInString(text[len(word):]) > maxAdded {
		word = text
	}
	if isCommon(text) || isCommon(word) || isSequence(text) || word != "" && word == strings.ToLower(name) {
		return problem.New("password_common")
	}
	return nil
}

// isCommon reports whether a password in lower case is in the list.
func isCommon(text string) bool {
	lines := strings.Split(strings.TrimSpace(commonPasswords), "\n")
	_, found := slices.BinarySearch(lines, text)
	return found
}

// isSequence reports whether each character follows the one before by the same step of -1, 0 or 1, as in 23456789 and aaaaaaaa.
func isSequence(text string) bool {
	runes := []rune(text)
	step := runes[1] - runes[0]
	if step < -1 || step > 1 {
		return false
	}
	for i := 1; i < len(runes); i++ {
		if runes[i]-runes[i-1] != step {
			return false
		}
	}
	return true
}
