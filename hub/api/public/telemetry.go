package public

import "time"

// Series is a sensor's values over some time, as few points as a curve needs. The four lists
// have the same length; values that the sensor itself called bad, and texts, are left out.
type Series struct {
	Edge   string    `json:"edge"`
	Device string    `json:"device"`
	Unit   string    `json:"unit"`
	At     []int64   `json:"at" doc:"milliseconds since 1970: the last value's time within each step"`
	Mean   []float64 `json:"mean"`
	Low    []float64 `json:"low"`
	High   []float64 `json:"high"`
}

// Gap is what an edge has lost for good.
type Gap struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind" enum:"readings,alerts,evidence"`
	Device   string    `json:"device,omitempty" doc:"of readings; absent: of several devices"`
	From     time.Time `json:"from" doc:"time of the oldest item lost, by the hub's clock"`
	To       time.Time `json:"to" doc:"time of the newest item lost, by the hub's clock"`
	Count    uint64    `json:"count" doc:"items lost; 0: not known"`
	Reason   string    `json:"reason" doc:"cause code"`
	Received time.Time `json:"received_at" doc:"when the hub last heard of it"`
}
