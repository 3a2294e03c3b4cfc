package main

import (
	"context"
	"errors"
	"fmt"

	"gridpost/devices/postgresql"
)

// withPostgres runs do with the URL of a database on a server of its own, which loses nothing at a power cut.
func withPostgres(ctx context.Context, do func(url string) error) error {
	s, err := postgresql.Start(ctx, postgresql.Options{Durable: true})
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	return errors.Join(do(s.URL("postgres")), s.Stop())
}
