package cache

import (
	"fmt"
	"os"
	"sync"
	"testing"

	dbus "github.com/godbus/dbus/v5"
)

// fakeService is a Secret Service with the behaviour of real ones on a bad
// day. Its fields are set before it is exported.
type fakeService struct {
	locked      bool   // the collection's Locked property
	onPrompt    string // "accept", "dismiss", "die"; "" never completes
	noLogin     bool   // only the default alias is there
	noDefault   bool   // not even that
	hang        string // a method that never answers
	promptSet   bool   // CreateItem needs a prompt
	forget      bool   // CreateItem confirms and keeps nothing
	badProperty bool   // Collections has a strange type
	die         func() // ends the bus

	mu      sync.Mutex
	conn    *dbus.Conn
	items   map[string][]byte
	unlocks int
	prompts int
	known   map[dbus.Sender]bool // who has asked the service itself
}

const (
	servicePath = dbus.ObjectPath("/org/freedesktop/secrets")
	promptPath  = servicePath + "/prompt/p1"
	sessionPath = servicePath + "/session/s1"
	itemPath    = servicePath + "/collection/login/1"
)

type fakeSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

// Each D-Bus interface is a type of its own: godbus exports all methods.
type (
	serviceMethods    struct{ *fakeService }
	serviceProperties struct{ *fakeService }
	itemsMethods      struct{ *fakeService }
	itemMethods       struct{ *fakeService }
	itemsProperties   struct{ *fakeService }
	promptMethods     struct{ *fakeService }
	sessionMethods    struct{ *fakeService }
)

func (f *fakeService) start(conn *dbus.Conn) error {
	f.conn, f.items, f.known = conn, map[string][]byte{}, map[dbus.Sender]bool{}
	type export struct {
		v     any
		path  dbus.ObjectPath
		iface string
	}
	exports := []export{
		{serviceMethods{f}, servicePath, "org.freedesktop.Secret.Service"},
		{serviceProperties{f}, servicePath, "org.freedesktop.DBus.Properties"},
		{itemMethods{f}, itemPath, "org.freedesktop.Secret.Item"},
		{promptMethods{f}, promptPath, "org.freedesktop.Secret.Prompt"},
		{sessionMethods{f}, sessionPath, "org.freedesktop.Secret.Session"},
	}
	for path, missing := range map[dbus.ObjectPath]bool{loginPath: f.noLogin, defaultPath: f.noDefault} {
		if !missing {
			exports = append(exports, export{itemsMethods{f}, path, collectionType}, export{itemsProperties{f}, path, "org.freedesktop.DBus.Properties"})
		}
	}
	for _, e := range exports {
		if err := conn.Export(e.v, e.path, e.iface); err != nil {
			return err
		}
	}
	reply, err := conn.RequestName(secretsName, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("the name is taken: %v", reply)
	}
	return err
}

func (f *fakeService) enter(method string) {
	if f.hang == method {
		select {}
	}
}

func (f *fakeService) counts() (unlocks, prompts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unlocks, f.prompts
}

func (f serviceMethods) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	f.enter("OpenSession")
	return dbus.MakeVariant(""), sessionPath, nil
}

func (f serviceMethods) Unlock(paths []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlocks++
	if f.locked {
		return nil, promptPath, nil
	}
	return paths, "/", nil
}

func (f serviceProperties) Get(who dbus.Sender, _, _ string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	f.known[who] = true
	f.mu.Unlock()
	switch {
	case f.badProperty:
		return dbus.MakeVariant("strange"), nil
	case f.noLogin:
		return dbus.MakeVariant([]dbus.ObjectPath{}), nil
	}
	return dbus.MakeVariant([]dbus.ObjectPath{loginPath}), nil
}

// Get answers nobody whose first question this is: gnome-keyring aborts then,
// if it is unlucky.
func (f itemsProperties) Get(who dbus.Sender, _, _ string) (dbus.Variant, *dbus.Error) {
	f.enter("Locked")
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known[who] {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.NoReply", []any{"the service aborted"})
	}
	return dbus.MakeVariant(f.locked), nil
}

func (f itemsMethods) CreateItem(props map[string]dbus.Variant, s fakeSecret, _ bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	if f.promptSet {
		return "/", promptPath, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.forget {
		f.items["x"] = s.Value
	}
	return itemPath, "/", nil
}

func (f itemsMethods) SearchItems(map[string]string) ([]dbus.ObjectPath, *dbus.Error) {
	f.enter("SearchItems")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.items) == 0 {
		return nil, nil
	}
	return []dbus.ObjectPath{itemPath}, nil
}

func (f itemMethods) GetSecret(session dbus.ObjectPath) (fakeSecret, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fakeSecret{session, nil, f.items["x"], "text/plain"}, nil
}

func (f itemMethods) Delete() (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.items)
	return "/", nil
}

func (sessionMethods) Close() *dbus.Error { return nil }

func (f promptMethods) Prompt(string) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prompts++
	switch f.onPrompt {
	case "die":
		go f.die()
	case "accept":
		f.locked = false
		go f.conn.Emit(promptPath, "org.freedesktop.Secret.Prompt.Completed", false, dbus.MakeVariant([]dbus.ObjectPath{loginPath}))
	case "dismiss":
		go f.conn.Emit(promptPath, "org.freedesktop.Secret.Prompt.Completed", true, dbus.MakeVariant(""))
	}
	return nil
}

// startFake runs a fake service on a bus of its own.
func startFake(t testing.TB, f *fakeService) *bus {
	t.Helper()
	b := startBus(t)
	f.die = b.kill
	must(t, f.start(b.connect(t)))
	return b
}

// childService is a fake service that the bus starts.
func childService() error {
	conn, err := dbus.Connect(os.Getenv("DBUS_STARTER_ADDRESS"))
	if err != nil {
		return err
	}
	if err := (&fakeService{}).start(conn); err != nil {
		return err
	}
	<-conn.Context().Done()
	return nil
}
