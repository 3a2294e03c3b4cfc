-- The audit log and the viewing log are read by person, by what was done, by camera and by incident, the newest first.
CREATE INDEX audit_at ON audit(at, id);
CREATE INDEX audit_who ON audit(who, at, id);
CREATE INDEX audit_action ON audit(action, at, id);
CREATE INDEX audit_object ON audit(object, at, id);
CREATE INDEX leases_who ON leases(who, began_at, id);
CREATE INDEX leases_device ON leases(edge, device, began_at, id);
CREATE INDEX leases_incident ON leases(incident, began_at, id);
