package mqttwire

import "sync"

// Acks holds the acknowledgements that a connection owes, in the order in which its messages came: PUBACK
// and PUBREC are sent in that order (MQTT 3.1.1, section 4.6). It is bounded by the number of packet
// identifiers. It is safe for concurrent use.
type Acks struct {
	ready chan struct{}

	mu    sync.Mutex
	owed  []*Ack
	freed []*Ack // were passed over, and are done now
}

// Ack is what is owed for one message.
type Ack struct {
	acks *Acks
	kind byte // Puback or Pubrec
	id   uint16

	reason byte // of MQTT 5; 0: success

	// Guarded by acks.mu.
	done   bool
	passed bool // those behind it do not wait for it
	taken  bool // it is no longer in acks.owed
}

// maxOwed is how many packet identifiers there are.
const maxOwed = 65535

// NewAcks returns an empty Acks.
func NewAcks() *Acks { return &Acks{ready: make(chan struct{}, 1)} }

// Add notes that a message of QoS 1 or 2 has come, and returns what is owed for it; nil if that is nothing because
// the peer has used identifiers again before their acknowledgement.
func (a *Acks) Add(qos byte, id uint16) *Ack {
	k := &Ack{acks: a, kind: Puback, id: id}
	if qos == 2 {
		k.kind = Pubrec
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.owed) >= maxOwed {
		return nil
	}
	a.owed = append(a.owed, k)
	return k
}

// Done says that the message is stored. It never blocks, and may be called again.
func (k *Ack) Done() {
	a := k.acks
	a.mu.Lock()
	defer a.mu.Unlock()
	if k.done {
		return
	}
	k.done = true
	if k.taken {
		a.freed = append(a.freed, k)
	}
	a.notify()
}

// Refuse is Done with a reason code of MQTT 5 (section 3.4.2.1): the message was dropped.
func (k *Ack) Refuse(reason byte) {
	k.acks.mu.Lock()
	k.reason = reason
	k.acks.mu.Unlock()
	k.Done()
}

// Pass lets the acknowledgements behind this one go out first. It is for a message that must wait for
// something that concerns its own device.
func (k *Ack) Pass() {
	a := k.acks
	a.mu.Lock()
	defer a.mu.Unlock()
	k.passed = true
	a.notify()
}

// notify says that Take may have something. a.mu is held.
func (a *Acks) notify() {
	if len(a.freed) > 0 || len(a.owed) > 0 && (a.owed[0].done || a.owed[0].passed) {
		select {
		case a.ready <- struct{}{}:
		default:
		}
	}
}

// Ready receives a value when Take may have something.
func (a *Acks) Ready() <-chan struct{} { return a.ready }

// Owed returns how many messages are not acknowledged yet.
func (a *Acks) Owed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.owed)
}

// Take appends the packets that can be sent to dst.
func (a *Acks) Take(dst []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.freed {
		dst = k.append(dst)
	}
	a.freed = nil
	n := 0
	for ; n < len(a.owed) && (a.owed[n].done || a.owed[n].passed); n++ {
		k := a.owed[n]
		k.taken = true
		if k.done {
			dst = k.append(dst)
		}
	}
	clear(a.owed[:n])
	if a.owed = a.owed[n:]; len(a.owed) == 0 {
		a.owed = nil // release the memory of a burst
	}
	return dst
}

// append appends the packet (MQTT 3.1.1, section 3.4; MQTT 5 allows this form too).
func (k *Ack) append(dst []byte) []byte {
	if k.reason != 0 {
		return append(dst, k.kind<<4, 3, byte(k.id>>8), byte(k.id), k.reason)
	}
	return append(dst, k.kind<<4, 2, byte(k.id>>8), byte(k.id))
}
