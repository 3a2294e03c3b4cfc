package app

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// TestIncidentsFollowARenamedUser: what is assigned to a user and not closed stays with the user; what is
// closed, and what others have, stays as it is.
func TestIncidentsFollowARenamedUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx := t.Context()
		r := announce.Incidents(d)
		users := NewPeople(d, r)
		if _, err := users.AddUser(ctx, "test", "li", "dispatcher", "hash"); err != nil {
			t.Fatal(err)
		}
		assigned := func(to string, state incidents.State) string {
			t.Helper()
			id := uuid.NewString()
			if err := d.Update(ctx, "test", func(tx *db.Tx) error {
				return r.ApplyAlert(tx, "gate-7", "gate-7", incidents.Alert{Title: "motion", Occurred: time.Now(), Incident: detection.Incident{
					ID: id, Device: "yard", Rule: "fence", Kind: detection.Line, Severity: detection.Moderate, State: detection.Open, Version: 1,
				}})
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Edit(ctx, incidents.Edit{Who: "boss", ID: id, Scope: scope.All(), Apply: func(inc *incidents.Incident) (*incidents.Fact, error) {
				inc.Assignee, inc.State = to, state
				return &incidents.Fact{Kind: incidents.FactAssigned, Text: to}, nil
			}}); err != nil {
				t.Fatal(err)
			}
			return id
		}
		open, closed, other := assigned("li", incidents.Acknowledged), assigned("li", incidents.Closed), assigned("wang", incidents.Acknowledged)
		before, err := d.LastChange(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := users.RenameUser(ctx, "test", "li", "li.wei"); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]string{open: "li.wei", closed: "li", other: "wang"} {
			if inc, err := r.Get(ctx, scope.All(), id); err != nil || inc.Assignee != want {
				t.Errorf("assigned to %q, %v, want %q", inc.Assignee, err, want)
			}
		}
		changes, _, err := d.ChangesAfter(ctx, before, 10)
		entries := 0
		for _, c := range changes {
			if c.Kind == incidents.ChangeKind && c.Key == open {
				entries++
			}
		}
		if err != nil || entries != 1 {
			t.Errorf("the live stream has %d entries about the incident, %v", entries, err)
		}
	})
}
