package webrtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gridpost/devices/problem"
)

const answerLimit = 1 << 16 // bytes of an answer that are read

// endpoint is a client of WHIP and WHEP, which do not differ here.
type endpoint struct {
	client *http.Client
	url    string
	header http.Header
}

// negotiate posts the session's offer, sets the answer and returns the resource's URL.
func (p endpoint) negotiate(ctx context.Context, s *session) (resource string, err error) {
	offer, err := s.offer(ctx)
	if err != nil {
		return "", err
	}
	asked := time.Now()
	response, err := p.do(ctx, http.MethodPost, p.url, offer)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusCreated {
		return "", problem.FromResponse(response)
	}
	trip := time.Since(asked)
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	location, err := resolve(p.url, response.Header.Get("Location"))
	if err != nil {
		return "", err
	}
	answer, err := completeAnswer(offer, string(body)) // an older hub rejects audio without its mid
	if err == nil {
		err = s.setAnswer(answer, trip)
	}
	if err != nil {
		err = fmt.Errorf("setting the answer: %w", err)
	}
	return location, err
}

// remove deletes the resource. It has its own timeout, because the session's context has usually ended.
// A resource that no longer exists is no error.
func (p endpoint) remove(ctx context.Context, resource string) error {
	if resource == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	response, err := p.do(ctx, http.MethodDelete, resource, "")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // the status has said everything
	switch response.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusGone:
		return nil
	}
	return fmt.Errorf("deleting %s: %w", resource, problem.FromResponse(response))
}

func (p endpoint) do(ctx context.Context, method, target, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("requesting %s: %w", target, err)
	}
	for k, v := range p.header {
		request.Header[k] = v
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/sdp")
	}
	client := p.client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("requesting the endpoint: %w", err)
	}
	return response, nil
}

// resolve returns the absolute URL of a resource. It is of the endpoint's own origin, because requests about it carry
// the endpoint's credentials.
func resolve(base, location string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("reading the endpoint's URL: %w", err)
	}
	if location == "" {
		return "", errors.New("the answer names no resource")
	}
	l, err := b.Parse(location)
	if err != nil {
		return "", fmt.Errorf("reading the resource's URL: %w", err)
	}
	if l.Scheme != b.Scheme || !strings.EqualFold(l.Hostname(), b.Hostname()) || port(l) != port(b) {
		return "", fmt.Errorf("the answer names a resource at another server, %s://%s", l.Scheme, l.Host)
	}
	return l.String(), nil
}

// port returns the port of a URL, or the one that its scheme stands for.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
