package relay

// Live says whether pictures of a device are coming in just now. It makes nothing.
func (r *Relay) Live(edge, device string) bool {
	r.mu.Lock()
	p := r.paths[pathKey{edge, device}]
	r.mu.Unlock()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live != nil
}
