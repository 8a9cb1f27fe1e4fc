package fakesecret

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Names on the bus, as gnome-keyring has them.
const (
	Name           = "org.freedesktop.secrets"
	Path           = dbus.ObjectPath("/org/freedesktop/secrets")
	LoginPath      = Path + "/collection/login"
	DefaultPath    = Path + "/aliases/default"
	promptPath     = Path + "/prompt/p1"
	sessionPath    = Path + "/session/s1"
	prefix         = "org.freedesktop.Secret."
	propertiesType = "org.freedesktop.DBus.Properties"
)

// What happens when the service's prompt is raised.
const (
	Never   = ""        // nobody answers
	Accept  = "accept"  // the collection is unlocked
	Dismiss = "dismiss" // it stays locked
)

// Behaviour is how the service behaves. The zero value is a good one.
type Behaviour struct {
	Locked    bool   // the collection's Locked property
	OnPrompt  string // Never, Accept or Dismiss
	NoLogin   bool   // only the default alias is there
	NoDefault bool   // not even that
	PromptSet bool   // CreateItem needs a prompt
	PromptDel bool   // an item's Delete needs a prompt
	Forget    bool   // CreateItem confirms and keeps nothing
	// At is called at the beginning of every call with the method's name; for
	// a property it is the property's. An error is the answer. It may block.
	At func(s *Service, method string) *dbus.Error
	// Strange has methods that replace those of the service, by their names
	// (for a property its own): to answer with other types.
	Strange map[string]any
}

// Hang never answers that method.
func Hang(method string) func(*Service, string) *dbus.Error {
	return func(s *Service, m string) *dbus.Error {
		if m == method {
			<-s.conn.Context().Done()
		}
		return nil
	}
}

// Die loses the connection when that method is called.
func Die(method string) func(*Service, string) *dbus.Error {
	return func(s *Service, m string) *dbus.Error {
		if m == method {
			s.conn.Close()
		}
		return nil
	}
}

// Item is one item of the collection.
type Item struct {
	Attributes map[string]string
	Secret     []byte
}

// Service is a running Secret Service with one collection.
type Service struct {
	conn *dbus.Conn

	mu      sync.Mutex
	be      Behaviour
	items   map[dbus.ObjectPath]Item
	known   map[dbus.Sender]bool // who has asked the service itself
	made    int
	unlocks int
	prompts int
}

// Secret is a secret on its way, as the specification has it.
type Secret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

// Start lets a service answer on the connection until that is closed.
func Start(conn *dbus.Conn, b Behaviour) (*Service, error) {
	s := &Service{conn: conn, be: b, items: map[dbus.ObjectPath]Item{}, known: map[dbus.Sender]bool{}}
	collection := s.table("SearchItems", "CreateItem")
	exports := []struct {
		table map[string]any
		path  dbus.ObjectPath
		iface string
		omit  bool
	}{
		{s.table("OpenSession", "Unlock"), Path, prefix + "Service", false},
		{s.properties("Collections"), Path, propertiesType, false},
		{s.table("Prompt"), promptPath, prefix + "Prompt", false},
		{s.table("Close"), sessionPath, prefix + "Session", false},
		{collection, LoginPath, prefix + "Collection", b.NoLogin},
		{s.properties("Locked"), LoginPath, propertiesType, b.NoLogin},
		{collection, DefaultPath, prefix + "Collection", b.NoDefault},
		{s.properties("Locked"), DefaultPath, propertiesType, b.NoDefault},
	}
	for _, e := range exports {
		if e.omit {
			continue
		}
		if err := conn.ExportMethodTable(e.table, e.path, e.iface); err != nil {
			return nil, err
		}
	}
	reply, err := conn.RequestName(Name, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("the name is taken: %v", reply)
	}
	return s, err
}

// Again starts a service that has the items of this one, which died.
func (s *Service) Again(conn *dbus.Conn) (*Service, error) {
	next, err := Start(conn, Behaviour{})
	for _, item := range s.Items() {
		if err == nil {
			err = next.Put(item)
		}
	}
	return next, err
}

// table has those methods by their names.
func (s *Service) table(names ...string) map[string]any {
	all := map[string]any{
		"OpenSession": s.openSession, "Unlock": s.unlock, "Prompt": s.prompt, "Close": s.close,
		"SearchItems": s.searchItems, "CreateItem": s.createItem, "GetSecret": s.getSecret, "Delete": s.deleteItem,
	}
	maps.Copy(all, s.be.Strange)
	maps.DeleteFunc(all, func(name string, _ any) bool { return !slices.Contains(names, name) })
	return all
}

// properties has that property only.
func (s *Service) properties(name string) map[string]any {
	if get, ok := s.be.Strange[name]; ok {
		return map[string]any{"Get": get}
	}
	return map[string]any{"Get": map[string]any{"Collections": s.collections, "Locked": s.property}[name]}
}

// Behave changes the behaviour from now on, but for the parts that are missing
// or strange: those are settled when the service starts.
func (s *Service) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.be = b
}

// Counts says how often an unlocking and a prompt were asked for.
func (s *Service) Counts() (unlocks, prompts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unlocks, s.prompts
}

// Items are the items of the collection, in the order in which they were made.
func (s *Service) Items() []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []Item
	for _, path := range s.search(nil) {
		items = append(items, s.items[path])
	}
	return items
}

// Put makes an item beside those that are there.
func (s *Service) Put(item Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.put(item)
	return err
}

// Remove removes all items, as another program would.
func (s *Service) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.items {
		s.forget(path)
	}
}

func (s *Service) put(item Item) (dbus.ObjectPath, error) {
	s.made++
	path := LoginPath + dbus.ObjectPath("/"+strconv.Itoa(s.made))
	s.items[path] = item
	return path, s.conn.ExportMethodTable(s.table("GetSecret", "Delete"), path, prefix+"Item")
}

func (s *Service) forget(path dbus.ObjectPath) {
	delete(s.items, path)
	_ = s.conn.Export(nil, path, prefix+"Item")
}

// search lists the items that have those attributes at least.
func (s *Service) search(want map[string]string) []dbus.ObjectPath {
	found := []dbus.ObjectPath{}
	for path, item := range s.items {
		fits := true
		for key, value := range want {
			fits = fits && item.Attributes[key] == value
		}
		if fits {
			found = append(found, path)
		}
	}
	slices.SortFunc(found, func(a, b dbus.ObjectPath) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(string(a), string(b))
	})
	return found
}

// enter is the beginning of every call.
func (s *Service) enter(method string) (Behaviour, *dbus.Error) {
	s.mu.Lock()
	b := s.be
	s.mu.Unlock()
	if b.At != nil {
		return b, b.At(s, method)
	}
	return b, nil
}

// emit sends a signal after the answer to the call that it belongs to.
func (s *Service) emit(dismissed bool, result any) {
	_ = safego.Go(func() error {
		return s.conn.Emit(promptPath, prefix+"Prompt.Completed", dismissed, dbus.MakeVariant(result))
	})
}
