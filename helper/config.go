package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// Config is what the configuration files say, merged key by key; later files
// win.
type Config struct {
	DefaultProfile string
	Store          StoreConfig
	Files          []string // those that were read, in order

	profiles map[string]*Profile
	err      *Error // why nothing at all can be used
}

// MaxConfig is the largest configuration file that is read, in bytes.
const MaxConfig = 1 << 20

// ConfigPaths says where configuration is looked for, and what the environment
// has to say where no file does.
type ConfigPaths struct {
	System   string // config.toml of the machine
	DropIns  string // folder of *.toml, read in the order of their names
	User     string // config.toml of the user, "" if there is no home
	Required bool   // User was named explicitly: it must exist
	Store    string // what the environment says of store.credentials, or ""
}

// DefaultConfigPaths follows the XDG base directories. Nothing is ever read
// from the working directory.
func DefaultConfigPaths(getenv func(string) string, home string) ConfigPaths {
	paths := ConfigPaths{
		System:  "/etc/x509-credential-helper/config.toml",
		DropIns: "/etc/x509-credential-helper/conf.d",
		Store:   getenv(storeVariable),
	}
	if file := getenv("X509_CREDENTIAL_HELPER_CONFIG"); file != "" {
		paths.User, paths.Required = file, true
	} else if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		paths.User = filepath.Join(dir, "x509-credential-helper", "config.toml")
	} else if filepath.IsAbs(home) {
		paths.User = filepath.Join(home, ".config", "x509-credential-helper", "config.toml")
	}
	return paths
}

// LoadConfig reads all files. It does not fail: what is wrong is kept and told
// to whoever asks for the profile that it touches, or to everybody.
func LoadConfig(paths ConfigPaths, backends map[string]Backend, home string) *Config {
	c := &Config{
		Store:    StoreConfig{Credentials: cache.Auto, Passphrases: cache.Keyring},
		profiles: map[string]*Profile{},
	}
	if paths.Required && !filepath.IsAbs(paths.User) {
		c.err = Errorf(CodeNotConfigured, "X509_CREDENTIAL_HELPER_CONFIG must be an absolute path, not %s", quoteName(paths.User))
		return c
	}
	m := newMerger()
	for _, file := range paths.files(c) {
		if c.err != nil {
			return c
		}
		data, err := safefile.ReadTrusted(file, MaxConfig)
		if errors.Is(err, fs.ErrNotExist) && !(paths.Required && file == paths.User) {
			continue
		}
		if err != nil {
			c.err = configReadError(file, err)
			return c
		}
		c.Files = append(c.Files, file)
		if err := m.add(file, data); err != nil {
			c.err = err
			return c
		}
	}
	m.build(c, backends, home)
	if err := c.Store.fill(paths.Store); err != nil && c.err == nil {
		c.err = err
	}
	return c
}

// files lists the configuration files in the order in which they are merged.
func (p ConfigPaths) files(c *Config) []string {
	files := []string{p.System}
	drops, err := os.ReadDir(p.DropIns)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.err = configReadError(p.DropIns, err)
	}
	for _, d := range drops { // ReadDir sorts by name
		if strings.HasSuffix(d.Name(), ".toml") && !strings.HasPrefix(d.Name(), ".") {
			files = append(files, filepath.Join(p.DropIns, d.Name()))
		}
	}
	if p.User != "" {
		files = append(files, p.User)
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

func configReadError(file string, err error) *Error {
	var unsafe *safefile.UnsafeError
	if errors.As(err, &unsafe) {
		e := Errorf(CodePolicyRefused, "the configuration file %s is not used: %s", file, unsafe.Reason).
			WithHint("it must be a regular file that belongs to you or root and that nobody else may write to")
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o022 != 0 { // no advice for /tmp or /dev/null
			e.WithHint("it must belong to you or root, and nobody else may write to it: chmod go-w %s", file)
		}
		return e
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Errorf(CodeNotConfigured, "the configuration file %s named by X509_CREDENTIAL_HELPER_CONFIG does not exist", file)
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err // the name is said already
	}
	return Errorf(CodeNotConfigured, "the configuration file %s cannot be read: %w", file, err).
		WithHint("see to it that you may read it, or remove it")
}

// value is a setting and the file it came from.
type value struct {
	v    any
	file string
}

// merger collects the settings of all files before anything is judged.
type merger struct {
	top      map[string]value
	store    map[string]value
	profiles map[string]map[string]value
}

func newMerger() *merger {
	return &merger{map[string]value{}, map[string]value{}, map[string]map[string]value{}}
}

func (m *merger) add(file string, data []byte) *Error {
	var doc map[string]any
	if err := toml.Unmarshal(data, &doc); err != nil {
		return tomlError(file, err)
	}
	for key, v := range doc {
		table, isTable := v.(map[string]any)
		switch {
		case key == "store" && isTable:
			for k, v := range table {
				m.store[k] = value{v, file}
			}
		case key == "profile" && isTable:
			for name, v := range table {
				m.addProfile(file, name, v)
			}
		default:
			m.top[key] = value{v, file}
		}
	}
	return nil
}

func (m *merger) addProfile(file, name string, v any) {
	p := m.profiles[name]
	if p == nil {
		p = map[string]value{}
		m.profiles[name] = p
	}
	table, ok := v.(map[string]any)
	if !ok {
		p[""] = value{v, file} // not a key that a table can have by itself
		return
	}
	for k, v := range table {
		p[k] = value{v, file}
	}
}

// tomlError names the line but not its text, which the parser quotes: people
// paste configuration that holds what should not be in it.
func tomlError(file string, err error) *Error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		what, _, quotes := strings.Cut(parse.Message, `"`)
		if quotes {
			what += "…"
		}
		return Errorf(CodeNotConfigured, "the configuration file %s is not valid TOML in line %d: %s", file, parse.Position.Line, CleanText(what))
	}
	return Errorf(CodeNotConfigured, "the configuration file %s is not valid TOML", file)
}

// build judges the merged settings.
func (m *merger) build(c *Config, backends map[string]Backend, home string) {
	m.buildTop(c, home)
	for _, name := range slices.Sorted(maps.Keys(m.profiles)) {
		p := newProfile(name, m.profiles[name], backends, home)
		c.profiles[name] = p
	}
}

func (m *merger) buildTop(c *Config, home string) {
	fail := func(e *Error) {
		if e != nil && c.err == nil {
			c.err = e
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.top)) {
		v := m.top[key]
		switch s, isString := v.v.(string); {
		case key == "default_profile" && isString:
			c.DefaultProfile = s
		case key == "default_profile" || key == "store" || key == "profile":
			fail(Errorf(CodeNotConfigured, "%s: the value of %s has the wrong type", v.file, key))
		default:
			fail(unknownKey(v.file, "", key, []string{"default_profile", "store", "profile"}))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.store)) {
		fail(c.Store.set(key, m.store[key], home))
	}
}

// Err is what makes the whole configuration unusable, or nil.
func (c *Config) Err() *Error { return c.err }

// Profiles returns all profiles sorted by name, broken ones too.
func (c *Config) Profiles() []*Profile {
	list := slices.Collect(maps.Values(c.profiles))
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Profile returns the profile of that name.
func (c *Config) Profile(name string) (*Profile, error) {
	if c.err != nil {
		return nil, c.err
	}
	p := c.profiles[name]
	if p == nil {
		e := Errorf(CodeNotConfigured, "there is no profile %s in the configuration", quoteName(name))
		if s := Closest(name, slices.Collect(maps.Keys(c.profiles))); s != "" {
			e.WithHint("did you mean %q?", s)
		} else {
			e.WithHint("%s", c.whereHint())
		}
		return nil, e
	}
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

func (c *Config) whereHint() string {
	if len(c.Files) == 0 {
		return "no configuration file was found; config.toml.example shows what to write into ~/.config/x509-credential-helper/config.toml; to try things first, run: x509-credential-helper sandbox"
	}
	return fmt.Sprintf("configuration was read from %s", strings.Join(c.Files, ", "))
}

// unknownKey refuses a key that nobody knows, with the nearest that exists: a
// mistyped "limited" must not be a proxy with full rights.
func unknownKey(file, table, key string, known []string) *Error {
	e := Errorf(CodeNotConfigured, "%s: unknown key %s", file, quoteName(join(table, key)))
	if s := Closest(key, known); s != "" {
		return e.WithHint("did you mean %q?", join(table, s))
	}
	return e.WithHint("config.toml.example lists every key")
}
