package auth

import (
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/totp"
)

// factorModel is what must hold of one user with the password "long enough", and does the same to a Service.
type factorModel struct {
	t    *testing.T
	s    *Service
	rand *rand.Rand
	now  time.Time

	user     string // ID
	on       bool
	secret   []byte // the present one, also while it waits for its first code; nil: there is none
	former   []byte
	last     int64 // step of the last code that was accepted
	recovery map[string]bool
	used     []string
	sessions map[string]time.Time // when they expire, by cookie
}

const modelPassword = "long enough"

// newSecret makes the model know a secret as an authenticator app does.
func (m *factorModel) newSecret(text string) {
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		m.t.Fatal(err)
	}
	m.former, m.secret, m.last = m.secret, secret, 0
}

// code returns a code of a random kind, whether it proves the second factor now, and what accepting it uses up.
func (m *factorModel) code() (text string, good bool, accept func()) {
	now, nothing := totp.Step(m.now), func() {}
	switch kind := m.rand.IntN(8); {
	case kind <= 3 && m.secret != nil: // of the steps around the present one, which may be used already
		step := now + m.rand.Int64N(5) - 2
		return totp.Code(m.secret, step), step > m.last && step >= now-1 && step <= now+1, func() { m.last = step }
	case kind == 4 && m.former != nil:
		text = totp.Code(m.former, now)
		return text, false, nothing
	case kind == 5 && len(m.recovery) > 0:
		text = slices.Sorted(maps.Keys(m.recovery))[m.rand.IntN(len(m.recovery))]
		return text, true, func() { delete(m.recovery, text); m.used = append(m.used, text) }
	case kind == 6 && len(m.used) > 0:
		return m.used[m.rand.IntN(len(m.used))], false, nothing
	}
	return "abc", false, nothing
}

// wrong returns an error of the model, and lets the throttle forget the failure that it stands for.
func (m *factorModel) wrong(err error) error { m.now = m.now.Add(2 * time.Hour); return err }

func (m *factorModel) password() string {
	if m.rand.IntN(6) == 0 {
		return "wrong enough"
	}
	return modelPassword
}

// any returns the principal of a random session.
func (m *factorModel) any() (Principal, string, bool) {
	for _, cookie := range slices.Sorted(maps.Keys(m.sessions)) {
		if m.rand.IntN(2) == 0 {
			p, err := m.authenticate(cookie)
			return p, cookie, err == nil
		}
	}
	return Principal{}, "", false
}

func (m *factorModel) authenticate(cookie string) (Principal, error) {
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: CookieName, Value: cookie})
	return m.s.Authenticate(r)
}

func (m *factorModel) logIn() (string, error, error) {
	password := m.password()
	code, good, accept := m.code()
	if m.rand.IntN(3) == 0 {
		code, good = "", false
	}
	at := m.now
	cookie, _, err := m.s.LoginWithCode(m.t.Context(), "li", password, code, "10.0.0.1:1")
	what := fmt.Sprintf("log in with %q %q", password, code)
	switch {
	case password != modelPassword:
		return what, err, m.wrong(ErrDenied)
	case m.on && code == "":
		return what, err, problem.New("totp_required")
	case m.on && !good:
		return what, err, m.wrong(problem.New("totp_wrong"))
	case m.on:
		accept()
	}
	m.sessions[cookie] = at.Add(SessionLife)
	return what, err, nil
}

func (m *factorModel) beginTOTP() (string, error, error) {
	p, _, ok := m.any()
	if !ok {
		return "", nil, nil
	}
	password := m.password()
	made, err := m.s.BeginTOTP(m.t.Context(), p, password, "10.0.0.1:1")
	switch {
	case password != modelPassword:
		return "begin", err, m.wrong(ErrDenied)
	case m.on:
		return "begin", err, problem.New("totp_on")
	}
	m.newSecret(made.Secret)
	return "begin", err, nil
}

func (m *factorModel) enable() (string, error, error) {
	p, cookie, ok := m.any()
	if !ok {
		return "", nil, nil
	}
	code, good, accept := m.code()
	if len(code) != totp.Digits {
		good = false
	}
	codes, err := m.s.EnableTOTP(m.t.Context(), p, code, "10.0.0.1:1")
	switch {
	case m.on:
		return "enable", err, problem.New("totp_on")
	case m.secret == nil:
		return "enable", err, problem.New("totp_not_begun")
	case !good:
		return "enable", err, m.wrong(problem.New("totp_wrong"))
	}
	accept()
	m.on, m.recovery, m.used = true, map[string]bool{}, nil
	for _, c := range codes {
		m.recovery[c] = true
	}
	if len(m.recovery) != 10 {
		m.t.Errorf("%d recovery codes", len(m.recovery))
	}
	maps.DeleteFunc(m.sessions, func(c string, _ time.Time) bool { return c != cookie })
	return "enable", err, nil
}

func (m *factorModel) disable() (string, error, error) {
	p, _, ok := m.any()
	if !ok {
		return "", nil, nil
	}
	password := m.password()
	code, good, accept := m.code()
	err := m.s.DisableTOTP(m.t.Context(), p, password, code, "10.0.0.1:1")
	what := fmt.Sprintf("disable with %q %q", password, code)
	switch {
	case password != modelPassword:
		return what, err, m.wrong(ErrDenied)
	case !m.on:
		return what, err, problem.New("totp_off")
	case !good:
		return what, err, m.wrong(problem.New("totp_wrong"))
	}
	accept()
	m.removed()
	return what, err, nil
}

func (m *factorModel) remove() (string, error, error) {
	err := m.s.o.People.RemoveTOTP(m.t.Context(), "boss", "li")
	if !m.on {
		return "remove", err, problem.New("totp_off")
	}
	m.removed()
	return "remove", err, nil
}

func (m *factorModel) removed() {
	m.on, m.former, m.secret = false, m.secret, nil
	m.recovery = nil
}

// check compares what is stored with the model.
func (m *factorModel) check(what string) {
	m.t.Helper()
	t, err := m.s.o.People.TOTP(m.t.Context(), m.user)
	if err != nil || (t.On != nil) != m.on || t.Recovery != len(m.recovery) || string(t.Secret) != string(m.secret) || m.secret != nil && t.LastStep != m.last {
		m.t.Fatalf("after %s: %+v, %v; the model is %+v", what, t, err, m)
	}
	for cookie, expires := range m.sessions {
		if !expires.After(m.now) {
			delete(m.sessions, cookie)
		} else if _, err := m.authenticate(cookie); err != nil {
			m.t.Fatalf("after %s: a session has ended: %v", what, err)
		}
	}
}

// TestSecondFactorModel does random sequences of enrolments, confirmations, log-ins, recoveries and removals, and compares
// each answer and what is stored with a model.
func TestSecondFactorModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &factorModel{t: t, rand: rand.New(rand.NewPCG(seed, 10)), now: time.Unix(1_800_000_000, 0), sessions: map[string]time.Time{}} //nolint:gosec // a test repeats its sequence
			m.s = serviceOn(t, dbtest.Open(t, db.SQLite, db.Options{Now: func() time.Time { return m.now }}), func() time.Time { return m.now })
			u, err := m.s.AddUser(t.Context(), "test", "li", modelPassword, Dispatcher)
			if err != nil {
				t.Fatal(err)
			}
			m.user = u.ID
			cookie, _, err := m.s.Login(t.Context(), "li", modelPassword, "10.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			m.sessions[cookie] = m.now.Add(SessionLife)
			done := map[string]int{}
			for i := range 300 {
				ops := []func() (string, error, error){m.logIn, m.logIn, m.logIn, m.beginTOTP, m.enable, m.enable, m.disable, m.remove}
				op := m.rand.IntN(len(ops) + 2)
				if op >= len(ops) {
					m.now = m.now.Add(time.Duration(m.rand.IntN(40)) * time.Second)
					continue
				}
				if op == len(ops)-1 && m.rand.IntN(3) > 0 {
					continue // the administrator comes seldom, so that there is something to remove
				}
				was := *m
				what, got, want := ops[op]()
				if !errors.Is(got, want) {
					t.Fatalf("%d: %s: %v, want %v; the model was %+v", i, what, got, want, &was)
				}
				if what != "" && got == nil {
					done[fmt.Sprint(op)]++
				}
				m.check(what)
			}
			if seed == 0 {
				t.Logf("successes by operation: %v", done)
			}
		})
	}
}
