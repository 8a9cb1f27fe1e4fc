package cache

import (
	"os"
	"testing"

	dbus "github.com/godbus/dbus/v5"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab/fakesecret"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// fake is a fake Secret Service on a bus of its own.
type fake struct {
	*bus
	*fakesecret.Service
}

func startFake(t testing.TB, b fakesecret.Behaviour) *fake {
	t.Helper()
	bus := startBus(t)
	s, err := fakesecret.Start(bus.connect(t), b)
	must(t, err)
	return &fake{bus, s}
}

// busDies ends the bus when that method is called.
func (f *fake) busDies(method string) func(*fakesecret.Service, string) *dbus.Error {
	return func(_ *fakesecret.Service, m string) *dbus.Error {
		if m == method {
			_ = safego.Go(func() error { f.kill(); return nil })
		}
		return nil
	}
}

// childService is a fake service that the bus starts.
func childService() error {
	conn, err := dbus.Connect(os.Getenv("DBUS_STARTER_ADDRESS"))
	if err != nil {
		return err
	}
	if _, err := fakesecret.Start(conn, fakesecret.Behaviour{}); err != nil {
		return err
	}
	<-conn.Context().Done()
	return nil
}
