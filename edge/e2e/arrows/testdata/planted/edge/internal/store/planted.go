// Package store breaks a rule on purpose.
package store

import (
	_ "modernc.org/sqlite"
)
