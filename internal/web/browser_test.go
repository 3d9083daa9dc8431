package web_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "write pictures of the pages to this directory")

// chromium starts a real browser, with scripts switched off: the pages need none.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must have Chromium: apt-get install chromium")
		}
		t.Skip("Chromium is not installed (apt-get install chromium); the same flows are tested by an HTTP client")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.WindowSize(900, 800))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		if err == nil {
			_, err = cdp.Call(ctx, target, log.Enable, cdp.Empty{})
		}
		return err
	}))
	if err == nil {
		err = chromedp.Listen(ctx, func(ev any) { // what the policy of the pages forbids is told here
			if e, ok := ev.(*log.EventEntryAdded); ok && strings.Contains(e.Entry.Text, "Content Security Policy") {
				t.Errorf("the browser says: %s", e.Entry.Text)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// play does steps, one after another.
func play(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, steps...); err != nil {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		at, _ := chromedp.Run(short, chromedp.Location())
		text, _ := chromedp.Run(short, chromedp.Text("main"))
		t.Fatalf("%v, at %s:\n%s", err, at, text)
	}
}

func text(ctx context.Context, t *testing.T, selector string) string {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := chromedp.Run(limited, chromedp.TextContent(selector))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// picture writes what is seen, light and dark.
func picture(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if *screenshots == "" {
			return nil
		}
		for _, scheme := range []string{"light", "dark"} {
			features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
			if _, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
				return err
			}
			shot, err := chromedp.FullScreenshot(100)(ctx, target)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(*screenshots, name+"-"+scheme+".png"), shot, 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestBrowser plays a person's first day in a real browser.
func TestBrowser(t *testing.T) {
	ctx := chromium(t)
	s := newSite(t, false, nil)
	play(ctx, t,
		chromedp.Navigate(s.url+"/enrol?code="+s.invite("ada")), chromedp.WaitVisible("#again"), picture("enrol"),
		chromedp.SendKeys("#password", words), chromedp.SendKeys("#again", words), chromedp.Click("main button"),
		chromedp.WaitVisible(".qr"), chromedp.Click("summary"), picture("factor"))
	seed := text(ctx, t, ".seed")
	play(ctx, t, chromedp.SendKeys("#code", s.code(seed)), chromedp.Click("main button"), chromedp.WaitVisible(".codes"), picture("recovery"),
		chromedp.Click(".button"), chromedp.WaitVisible(".rows"), picture("account"))
	if session := text(ctx, t, ".rows"); !strings.Contains(session, "Chrome on Linux") {
		t.Errorf("the session is described as %q", session)
	}
	codes, err := s.signin.Begin(t.Context(), hereAgent)
	if err != nil {
		t.Fatal(err)
	}
	play(ctx, t, chromedp.Navigate(s.url+"/device?code="+codes.User), chromedp.WaitVisible("#code"), picture("device"), chromedp.Click("main button"),
		chromedp.WaitVisible("button[value=allow]"), picture("decide"), chromedp.Click("button[value=allow]"), chromedp.WaitVisible("main a[href='/account']"), picture("decided"))
	if g, err := s.signin.Fetch(t.Context(), codes.Device); err != nil || g.Account != "ada" {
		t.Errorf("%+v, %v", g, err)
	}
	s.pass(time.Minute)
	play(ctx, t, chromedp.Navigate(s.url+"/logout"), chromedp.WaitVisible("main button"), picture("logout"), chromedp.Click("main button"),
		chromedp.WaitVisible("#password"), picture("login"), chromedp.SendKeys("#name", "ada"), chromedp.SendKeys("#password", "wrong"), chromedp.Click("main button"),
		chromedp.WaitVisible(".alert"), picture("wrong"),
		chromedp.SendKeys("#name", "ada"), chromedp.SendKeys("#password", words), chromedp.Click("main button"),
		chromedp.WaitVisible("#code-help"), picture("second"), chromedp.SendKeys("#code", s.code(seed)), chromedp.Click("main button"), chromedp.WaitVisible(".rows"))
	if heading := text(ctx, t, "h1"); heading != "ada" {
		t.Errorf("signed in as %q", heading)
	}
}
