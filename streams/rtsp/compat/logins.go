package compat

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Logins limits how often a refused login is tried again: at most loginAttempts times in loginPeriod, because cameras lock
// accounts. The streams of one camera share a Logins. The zero value is ready; its methods may be called from any
// goroutine.
type Logins struct {
	mu      sync.Mutex
	refused map[loginKey][]time.Time // the last attempts of each login that was refused
}

const (
	loginAttempts = 2
	loginPeriod   = time.Minute

	// maxLogins bounds the logins that are remembered; beyond it, the one that was tried longest ago is forgotten.
	maxLogins = 1024
)

// loginKey is who logs in where. Another password is another login.
type loginKey struct {
	host, user string
	password   [sha256.Size]byte
}

func newLoginKey(host, user, password string) loginKey {
	return loginKey{host, user, sha256.Sum256([]byte(password))}
}

// wait returns when the login may be tried; the zero time: now.
func (l *Logins) wait(key loginKey, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next(key, now)
}

func (l *Logins) next(key loginKey, now time.Time) time.Time {
	attempts := l.refused[key]
	if len(attempts) < loginAttempts {
		return time.Time{}
	}
	if until := attempts[len(attempts)-loginAttempts].Add(loginPeriod); until.After(now) {
		return until
	}
	return time.Time{}
}

// try reports whether the login may be tried now. If it was refused before, the attempt is counted.
func (l *Logins) try(key loginKey, now time.Time) (until time.Time, counted, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.next(key, now); !until.IsZero() {
		return until, false, false
	}
	_, known := l.refused[key]
	if known {
		l.count(key, now)
	}
	return time.Time{}, known, true
}

func (l *Logins) count(key loginKey, now time.Time) {
	attempts := append(l.refused[key], now)
	l.refused[key] = attempts[max(0, len(attempts)-loginAttempts):]
}

// refuse records that the camera refused the login. counted is what try has returned for it.
func (l *Logins) refuse(key loginKey, counted bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.refused[key]; known {
		if !counted {
			l.count(key, now) // it was on its way when another stream's was refused
		}
		return
	}
	if l.refused == nil {
		l.refused = map[loginKey][]time.Time{}
	}
	if len(l.refused) >= maxLogins {
		var oldest loginKey
		var at time.Time
		for k, attempts := range l.refused {
			if last := attempts[len(attempts)-1]; at.IsZero() || last.Before(at) {
				oldest, at = k, last
			}
		}
		delete(l.refused, oldest)
	}
	l.refused[key] = []time.Time{now}
}

// accept records that the camera accepted the login.
func (l *Logins) accept(key loginKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, key)
}
