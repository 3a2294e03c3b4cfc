package rig

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is a headless Chromium on a page of the hub. It records the URL of every request
// and the uncaught errors of the page.
type Browser struct {
	ctx    context.Context
	cancel []context.CancelFunc
	origin string

	mu        sync.Mutex
	outside   []string // URLs that are not the hub's
	uncaught  []string
	inside    int // requests to the hub
	navigated int
}

// FindBrowser returns the path of a Chromium or Chrome: $CHROME, or one that is installed.
func FindBrowser() (string, error) {
	if path := os.Getenv("CHROME"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium was found: `make deps` installs Debian's package chromium (on Ubuntu: snap install chromium), or CHROME=path names one")
}

// OpenBrowser starts a browser with an empty profile in the folder profile and opens the
// console of the hub at origin. The caller must Close it.
func OpenBrowser(ctx context.Context, origin, profile string) (*Browser, error) {
	path, err := FindBrowser()
	if err != nil {
		return nil, err
	}
	// Not chromedp's defaults, which are meant for scraping.
	ctx, stop := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900))
	b := &Browser{origin: origin}
	tab, end := chromedp.NewContext(ctx, chromedp.WithErrorf(b.trouble))
	b.ctx, b.cancel = tab, []context.CancelFunc{end, stop}
	chromedp.ListenTarget(tab, b.heard)
	if err := chromedp.Run(tab, network.Enable(), chromedp.Navigate(origin), chromedp.WaitVisible("#login-user")); err != nil {
		b.Close()
		return nil, fmt.Errorf("opening the console in %s: %w", path, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() {
	for _, cancel := range b.cancel {
		cancel()
	}
}

// trouble records errors of chromedp. It ignores events that chromedp cannot decode, because its protocol
// is older than the browser; heard uses none of them.
func (b *Browser) trouble(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !strings.Contains(text, "could not unmarshal event") {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.uncaught = append(b.uncaught, text)
	}
}

func (b *Browser) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument {
			b.navigated++
		}
		b.note(e.Request.URL)
	case *network.EventWebSocketCreated:
		b.note(e.URL)
	case *runtime.EventExceptionThrown:
		b.uncaught = append(b.uncaught, e.ExceptionDetails.Error())
	}
}

// note counts a request to the hub, and records the URL of any other request.
func (b *Browser) note(address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "data" && u.Scheme != "blob" && !strings.HasPrefix(address, b.origin+"/") {
		b.outside = append(b.outside, address)
		return
	}
	b.inside++
}

// Outside returns the addresses of all requests that did not go to the hub.
func (b *Browser) Outside() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.outside...)
}

// Inside returns the number of requests to the hub.
func (b *Browser) Inside() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inside
}

// UncaughtErrors returns the exceptions that nothing on the page caught.
func (b *Browser) UncaughtErrors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.uncaught...)
}

// Loads returns how often a page was loaded.
func (b *Browser) Loads() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.navigated
}

// Run performs actions in the page, for at most limit. what describes them in errors.
func (b *Browser) Run(limit time.Duration, what string, actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		return fmt.Errorf("in the browser, %s: %w", what, err)
	}
	return nil
}

// LogIn logs in and waits for the desk.
func (b *Browser) LogIn(user, password string) error {
	if err := b.enter(user, password); err != nil {
		return err
	}
	return b.Run(20*time.Second, "waiting for the desk", chromedp.WaitVisible("#desk"))
}

// LogInRefused tries to log in and returns the error message of the page.
func (b *Browser) LogInRefused(user, password string) (message string, err error) {
	if err := b.enter(user, password); err != nil {
		return "", err
	}
	err = b.Run(20*time.Second, "waiting to be refused", chromedp.Poll(`document.getElementById("login-error")?.textContent.trim()`, &message))
	return message, err
}

func (b *Browser) enter(user, password string) error {
	return b.Run(20*time.Second, "logging in",
		chromedp.WaitVisible("#login-user"), chromedp.Evaluate(`document.getElementById("login-form").reset()`, nil),
		chromedp.SendKeys("#login-user", user), chromedp.SendKeys("#login-password", password),
		chromedp.Click("#login-submit"))
}

// Open waits until the list has an incident, and opens it.
func (b *Browser) Open(incident string) error {
	return b.Run(20*time.Second, "opening the incident "+incident,
		chromedp.Click(fmt.Sprintf(`.incident[data-id="%s"]`, incident)), chromedp.WaitVisible("#incident-detail"))
}

// Watch selects a camera of the open incident, unless it is selected already.
func (b *Browser) Watch(edge, device string) error {
	camera := fmt.Sprintf(`#nearby .camera[data-edge="%s"][data-device="%s"]`, edge, device)
	return b.Run(20*time.Second, "choosing the camera "+edge+"/"+device, chromedp.WaitVisible(camera), chromedp.Evaluate(
		fmt.Sprintf(`(() => { const c = document.querySelector(%q); if (c.getAttribute("aria-pressed") !== "true") c.click(); })()`, camera), nil))
}

// Video is the state of the video element of the page.
type Video struct {
	Frames       int     `json:"frames"`       // shown
	Decoded      int     `json:"decoded"`      // by the browser's own count
	FirstFrameMS float64 `json:"firstFrameMs"` // from the choice of the camera to the first frame
	Width        int     `json:"width"`
	Pixels       string  `json:"pixels"` // a small copy of the frame; differs when the frame does
	State        string  `json:"state"`  // text of the figure
}

const lookAtVideo = `(() => {
  const v = document.querySelector("#incident-detail video"), c = document.createElement("canvas");
  c.width = 64; c.height = 48;
  let pixels = "";
  if (v && v.videoWidth > 0) {
    const g = c.getContext("2d");
    g.drawImage(v, 0, 0, 64, 48);
    pixels = g.getImageData(0, 0, 64, 48).data.join();
  }
  const f = window.__gridpost;
  return {frames: f?.frames ?? 0, firstFrameMs: f?.firstFrameMs ?? 0, decoded: v?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
    width: v?.videoWidth ?? 0, pixels, state: v?.closest("figure")?.innerText ?? "no video is asked for"};
})()`

// Video returns the state of the video element of the page.
func (b *Browser) Video() (v Video, err error) {
	err = b.Run(10*time.Second, "reading the state of the video", chromedp.Evaluate(lookAtVideo, &v))
	return v, err
}

// WaitForFrames waits until at least frames frames have been decoded and shown.
func (b *Browser) WaitForFrames(ctx context.Context, frames int, limit time.Duration) (v Video, err error) {
	err = Until(ctx, limit, fmt.Sprintf("%d frames", frames), func(context.Context) error {
		if v, err = b.Video(); err != nil {
			return err
		}
		if v.Frames < frames || v.Decoded < frames {
			return fmt.Errorf("%w: %d decoded, %d shown; the page shows: %s", ErrNotYet, v.Decoded, v.Frames, v.State)
		}
		return nil
	})
	return v, err
}
