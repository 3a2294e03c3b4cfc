package brokers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"gridpost/devices"
	"gridpost/devices/durable"
	"gridpost/devices/mqtt"

	firmwareconfig "gridpost/firmware-config"
)

// OutsideOptions are what a subscriber of another broker of the site needs.
type OutsideOptions struct {
	Config  firmwareconfig.Broker
	Filters []string // of the sensors that are at the broker
	Long    []string // topics on which long messages are expected
	Dir     string   // the edge's data directory
	Handle  devices.Store

	// OnState is called with the cause when the broker cannot be used, and with none when it can. OnRefused
	// is called with the filters that the broker refuses. Neither must block.
	OnState   func(cause devices.Cause)
	OnRefused func(filters []string)

	Logger *slog.Logger
}

// NewOutside returns a subscriber of another broker.
func NewOutside(o OutsideOptions) (*mqtt.Subscriber, error) {
	c := o.Config
	return mqtt.NewSubscriber(mqtt.Options{
		Server: serverOf(c),
		Source: c.Source(), Filters: o.Filters, Long: o.Long,
		Handle:    o.Handle,
		OnState:   func(_ bool, cause devices.Cause) { o.OnState(cause) },
		OnRefused: o.OnRefused,
		Memory:    memory{filepath.Join(o.Dir, "brokers", memoryName(c))},
		Logger:    o.Logger,
	})
}

func serverOf(c firmwareconfig.Broker) mqtt.Server {
	return mqtt.Server{
		Address: c.URL, ClientID: c.ClientID, Username: c.Username, Password: c.Password, CA: c.CA, Certificate: c.Certificate, Key: c.Key,
	}
}

// memory is a file with the filters that a broker may have of this edge; it implements mqtt.Memory.
type memory struct{ path string }

// memoryName names the file of a session: the broker keeps one for each client ID.
func memoryName(c firmwareconfig.Broker) string {
	sum := sha256.Sum256([]byte(c.URL.Host + "\n" + c.ClientID))
	return hex.EncodeToString(sum[:8]) + ".json"
}

// maxMemory bounds the file in bytes: 4,096 filters of usual lengths.
const maxMemory = 4 << 20

// Load returns the filters, or none when there is no file.
func (m memory) Load() ([]string, error) {
	info, err := os.Stat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was subscribed to: %w", err)
	}
	if info.Size() > maxMemory {
		return nil, fmt.Errorf("reading what was subscribed to: %s is longer than %d bytes", m.path, maxMemory)
	}
	raw, err := os.ReadFile(m.path)
	if err != nil {
		return nil, fmt.Errorf("reading what was subscribed to: %w", err)
	}
	var filters []string
	if err := json.Unmarshal(raw, &filters); err != nil {
		return nil, fmt.Errorf("reading what was subscribed to: %s: %w", m.path, err)
	}
	return filters, nil
}

// Save replaces the file, so that a crash leaves the old one or the new one.
func (m memory) Save(filters []string) error {
	raw, err := json.Marshal(filters)
	if err != nil {
		return fmt.Errorf("saving what is subscribed to: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return fmt.Errorf("saving what is subscribed to: %w", err)
	}
	if err := durable.Replace(m.path, raw); err != nil {
		return fmt.Errorf("saving what is subscribed to: %w", err)
	}
	return nil
}
