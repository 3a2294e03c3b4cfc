package store

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// Series is a sensor's values over some time, as few points as a curve needs. The four lists
// have the same length; values that the sensor itself called bad are left out.
type Series struct {
	Edge   string    `json:"edge"`
	Device string    `json:"device"`
	Unit   string    `json:"unit"`
	At     []int64   `json:"at" doc:"milliseconds since 1970: the last value's time within each step"`
	Mean   []float64 `json:"mean"`
	Low    []float64 `json:"low"`
	High   []float64 `json:"high"`
}

// Series thins a sensor's values between two times out to at most so many steps of equal length,
// each with its lowest and highest value, so that no peak is lost. Steps without values are
// left out. It reads every value of the time.
func (s *Store) Series(ctx context.Context, edge, device string, from, to time.Time, points int) (Series, error) {
	out := Series{Edge: edge, Device: device, At: []int64{}, Mean: []float64{}, Low: []float64{}, High: []float64{}}
	step := max(1, (millis(to)-millis(from))/int64(points)+1)
	rows, err := s.read.QueryContext(ctx, `SELECT max(at), avg(value), min(value), max(value) FROM readings
		WHERE edge = ?1 AND device = ?2 AND at BETWEEN ?3 AND ?4 AND quality != 'bad' GROUP BY (at - ?3) / ?5 ORDER BY 1`,
		edge, device, millis(from), millis(to), step)
	if err != nil {
		return out, fmt.Errorf("reading the curve of %s/%s: %w", edge, device, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var at int64
		var mean, low, high float64
		if err := rows.Scan(&at, &mean, &low, &high); err != nil {
			return out, fmt.Errorf("reading the curve of %s/%s: %w", edge, device, err)
		}
		out.At, out.Mean = append(out.At, at), append(out.Mean, mean)
		out.Low, out.High = append(out.Low, low), append(out.High, high)
	}
	if err := rows.Err(); err != nil {
		return out, fmt.Errorf("reading the curve of %s/%s: %w", edge, device, err)
	}
	d, err := s.Device(ctx, edge, device)
	if err != nil {
		return out, err
	}
	out.Unit = d.Unit
	return out, nil
}

// Picture is the newest picture that the hub has of a camera: a snapshot of an incident.
type Picture struct {
	Edge     string    `json:"edge"`
	Device   string    `json:"device"`
	Incident string    `json:"incident"`
	URL      string    `json:"url"`
	Time     time.Time `json:"time" doc:"of the picture"`
}

// LastPicture returns the newest whole picture of a camera; ErrNotFound if there is none.
func (s *Store) LastPicture(ctx context.Context, edge, device string) (Picture, error) {
	out := Picture{Edge: edge, Device: device}
	var name string
	var at int64
	err := found(s.read.QueryRowContext(ctx, `SELECT v.name, v.incident, v.at FROM incidents i JOIN evidence v ON v.incident = i.id AND v.edge = i.edge
		WHERE i.edge = ? AND i.device = ? AND v.complete = 1 AND v.content_type IN ('image/jpeg', 'image/png')
		ORDER BY i.opened_at DESC, v.at DESC LIMIT 1`, edge, device))(&name, &out.Incident, &at)
	if err != nil {
		return Picture{}, fmt.Errorf("looking for a picture of %s/%s: %w", edge, device, err)
	}
	out.URL = "/api/v1/evidence/" + url.PathEscape(out.Incident) + "/" + url.PathEscape(name)
	out.Time = fromMillis(at)
	return out, nil
}
