package backup

import (
	"context"
	"encoding/json"
	"fmt"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/edges"
)

// finish makes what is derived from copied tables.
func (d database) finish(ctx context.Context, to *db.DB) error {
	if d.name != "hub" {
		return nil
	}
	if err := indexPlaces(ctx, to); err != nil {
		return fmt.Errorf("indexing the places of devices: %w", err)
	}
	return nil
}

// indexPlaces fills the spatial index of devices.
func indexPlaces(ctx context.Context, to *db.DB) error {
	type row struct {
		id    int64
		place string
	}
	all, err := db.Collect(func(scan func(...any) error) (v row, err error) {
		err = scan(&v.id, &v.place)
		return v, err
	})(to.Read(ctx).Rows(`SELECT id, place FROM devices WHERE place IS NOT NULL ORDER BY id`))
	if err != nil {
		return err
	}
	return to.Update(ctx, "copy", func(t *db.Tx) error {
		for _, v := range all {
			var p devices.Place
			if err := json.Unmarshal([]byte(v.place), &p); err != nil {
				return fmt.Errorf("device %d: %w", v.id, err)
			}
			if err := edges.IndexPlace(t, v.id, p); err != nil {
				return err
			}
		}
		return nil
	})
}
