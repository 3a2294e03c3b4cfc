-- A certificate is deleted when a later one of the same edge is used. Earlier versions kept it valid.
DELETE FROM edge_certificates WHERE first_used_at IS NOT NULL AND EXISTS (SELECT 1 FROM edge_certificates AS later
	WHERE later.edge = edge_certificates.edge AND later.first_used_at > edge_certificates.first_used_at);
