package uplink

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// hub is a hub of a few lines: it enrols, applies each event once, and can be told to fail.
type hub struct {
	t    *testing.T
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	tls  *tls.Config
	addr string
	life time.Duration // of edges' certificates, from now
	age  time.Duration // of the first one

	server *httptest.Server

	mu       sync.Mutex
	epoch    string
	run      string     // of the hub
	kinds    []api.Kind // that it knows
	marks    map[string]uint64
	applied  []string // data of applied events, in order
	batches  []int    // sizes of the batches posted
	fail     []int    // statuses of the next answers to batches; 0: apply, then lose the answer
	maxBody  int      // 413 beyond it; 0: no limit
	poison   string   // a batch with this data is answered 400 whole
	refuse   string   // an event with this data is refused by the answer
	files    map[string][]byte
	cutAfter int // bytes of evidence after which the next connection is cut; 0: never
	results  map[string]api.Result
	streams  int
	serials  map[string]bool
	commands chan string // written to the open stream of commands as they are
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{
		t: t, run: "first", life: time.Hour, marks: map[string]uint64{}, files: map[string][]byte{}, results: map[string]api.Result{},
		serials: map[string]bool{}, commands: make(chan string, 10),
	}
	var err error
	h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	h.ca = h.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &h.key.PublicKey, time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := h.sign(&x509.Certificate{DNSNames: []string{enrol.ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, h.ca, &key.PublicKey, time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(h.ca)
	h.tls = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, h.ca.Raw}, PrivateKey: key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13,
	}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *hub) sign(c, parent *x509.Certificate, public *ecdsa.PublicKey, life time.Duration) *x509.Certificate {
	h.t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Second-h.age), time.Now().Add(life)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, h.key)
	must(h.t, err)
	made, err := x509.ParseCertificate(der)
	must(h.t, err)
	return made
}

// start listens, after a stop on the same port as before.
func (h *hub) start() {
	h.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(api.PathEnrol, h.issue)
	mux.HandleFunc(api.PathRenew, h.issue)
	mux.HandleFunc(api.PathEvents, h.events)
	mux.HandleFunc(api.PathCommands, h.stream)
	mux.HandleFunc(api.PathResult, h.result)
	mux.HandleFunc(api.PathEvidence, h.evidence)
	h.server = httptest.NewUnstartedServer(mux)
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.server.TLS = h.tls.Clone()
	if h.addr != "" {
		l, err := net.Listen("tcp", h.addr)
		must(h.t, err)
		_ = h.server.Listener.Close()
		h.server.Listener = l
	}
	h.server.StartTLS()
	h.addr = h.server.Listener.Addr().String()
}

func (h *hub) stop() {
	if h.server != nil {
		h.server.CloseClientConnections()
		h.server.Close()
		h.server = nil
	}
}

func (h *hub) enrol(dir string) *enrol.Identity {
	h.t.Helper()
	sum := sha256.Sum256(h.ca.Raw)
	id, err := enrol.Enrol(h.t.Context(), dir, "https://"+h.addr, enrol.Token{Name: "gate-7", Secret: "s", SHA256: hex.EncodeToString(sum[:])})
	must(h.t, err)
	return id
}

func (h *hub) issue(w http.ResponseWriter, r *http.Request) {
	var in api.EnrolRequest // a RenewRequest has no token, and is the same otherwise
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	block, _ := pem.Decode([]byte(in.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	must(h.t, err)
	public, _ := csr.PublicKey.(*ecdsa.PublicKey)
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "gate-7"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, h.ca, public, h.life)
	h.life, h.age = time.Hour, 0
	_ = json.NewEncoder(w).Encode(api.EnrolResponse{
		Edge:        "gate-7",
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
		Authority:   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.ca.Raw})),
	})
}

func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return
	}
	w.Header().Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
	var batch api.Batch
	if json.Unmarshal(body, &batch) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serials[r.TLS.PeerCertificates[0].SerialNumber.String()] = true
	if batch.Hello != nil {
		h.epoch = batch.Epoch
		_ = json.NewEncoder(w).Encode(api.Ack{Committed: map[api.Lane]uint64{}, Hub: h.run, Kinds: h.kinds})
		return
	}
	if batch.Epoch != h.epoch {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"code":"`+api.CodeEpochSuperseded+`"}`)
		return
	}
	h.batches = append(h.batches, len(batch.Events))
	lose := false
	if len(h.fail) > 0 {
		status := h.fail[0]
		h.fail = h.fail[1:]
		if lose = status == 0; !lose {
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(status)
			return
		}
	}
	if h.maxBody > 0 && len(body) > h.maxBody {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	for _, e := range batch.Events {
		if h.poison != "" && string(e.Data) == h.poison {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	ack := api.Ack{Committed: map[api.Lane]uint64{}, Hub: h.run}
	for _, e := range batch.Events {
		key := batch.Epoch + "/" + string(e.Lane)
		switch {
		case e.Seq <= h.marks[key]:
		case h.refuse != "" && string(e.Data) == h.refuse:
			h.marks[key] = e.Seq
			ack.Refused = append(ack.Refused, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: "it does not parse"})
		default:
			h.marks[key] = e.Seq
			h.applied = append(h.applied, string(e.Data))
		}
		ack.Committed[e.Lane] = h.marks[key]
	}
	if lose {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(ack)
}

func (h *hub) stream(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.streams++
	h.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, ": welcome\n\n")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case text := <-h.commands:
			if text == "" {
				return
			}
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (h *hub) result(w http.ResponseWriter, r *http.Request) {
	var res api.Result
	if json.NewDecoder(r.Body).Decode(&res) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.results[r.PathValue("id")] = res
	w.WriteHeader(http.StatusNoContent)
}

func (h *hub) evidence(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("incident") + "/" + r.PathValue("name")
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.files[key]
	if r.Method == http.MethodPatch {
		if r.Header.Get("Upload-Offset") != strconv.Itoa(len(have)) {
			w.Header().Set("Upload-Offset", strconv.Itoa(len(have)))
			w.WriteHeader(http.StatusConflict)
			return
		}
		body, err := io.ReadAll(r.Body)
		if h.cutAfter > 0 && len(have)+len(body) > h.cutAfter {
			h.files[key] = append(have, body[:h.cutAfter-len(have)]...)
			h.cutAfter = 0
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			return
		}
		have = append(have, body...)
		h.files[key] = have
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(len(have)))
	w.WriteHeader(http.StatusNoContent)
}

// readBody reads a body that may be compressed.
func readBody(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// do locks the hub for f.
func (h *hub) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func command(id string, c api.Command) string {
	c.ID = id
	data, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("id: %s\nevent: command\ndata: %s\n\n", id, data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
