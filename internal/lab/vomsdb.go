package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const vomsDatabase = "voms"

// vomsSchema holds the tables and columns of VOMS Admin's database (version 3)
// that voms-server asks for; it prepares all its queries when it starts.
const vomsSchema = `CREATE DATABASE voms;
USE voms;
CREATE TABLE version (version INT);
CREATE TABLE ca (cid INT, subject_string VARCHAR(255));
CREATE TABLE certificate (usr_id INT, subject_string VARCHAR(255), ca_id INT, suspended BOOL, suspended_reason VARCHAR(255));
CREATE TABLE usr (userid INT, dn VARCHAR(255));
CREATE TABLE groups (gid INT, dn VARCHAR(255));
CREATE TABLE roles (rid INT, role VARCHAR(255));
CREATE TABLE m (userid INT, gid INT, rid INT);
CREATE TABLE attributes (a_id INT, a_name VARCHAR(255));
CREATE TABLE usr_attrs (a_id INT, u_id INT, a_value VARCHAR(255));
CREATE TABLE group_attrs (a_id INT, g_id INT, a_value VARCHAR(255));
CREATE TABLE role_attrs (a_id INT, g_id INT, r_id INT, a_value VARCHAR(255));
INSERT INTO version VALUES (3);
`

// vomsTables is the whole database in SQL.
func vomsTables(o VOMSOptions, ca string) string {
	b := &tables{groups: map[string]int{}, roles: map[string]int{}}
	b.WriteString(vomsSchema)
	b.insert("ca", 1, ca)
	for i, member := range o.Members {
		b.insert("certificate", i+1, member.User.DN(), 1, false, nil)
		for _, fqan := range append([]string{"/" + o.VO}, member.FQANs...) {
			group, role, hasRole := strings.Cut(fqan, "/Role=")
			gid := b.id("groups", b.groups, group)
			if hasRole {
				b.insert("m", i+1, gid, b.id("roles", b.roles, role))
			} else {
				b.insert("m", i+1, gid, nil)
			}
		}
	}
	return b.String()
}

// tables writes SQL.
type tables struct {
	strings.Builder
	groups, roles map[string]int
}

// id is the number of a group or role, which it inserts if it is new.
func (b *tables) id(table string, known map[string]int, name string) int {
	if known[name] == 0 {
		known[name] = len(known) + 1
		b.insert(table, known[name], name)
	}
	return known[name]
}

func (b *tables) insert(table string, values ...any) {
	var texts []string
	for _, value := range values {
		switch value := value.(type) {
		case nil:
			texts = append(texts, "NULL")
		case string:
			texts = append(texts, "'"+strings.NewReplacer("'", "''", `\`, `\\`).Replace(value)+"'")
		default:
			texts = append(texts, fmt.Sprint(value))
		}
	}
	fmt.Fprintf(b, "INSERT INTO %s VALUES (%s);\n", table, strings.Join(texts, ", "))
}

// startDatabase starts a MariaDB that listens at a Unix socket only. Without
// InnoDB and grant tables an empty directory is all it needs: 0.1 s instead of
// the 3 s that mariadb-install-db takes.
func (v *VOMS) startDatabase(sql string) *server {
	v.t.Helper()
	writeFile(v.t, v.path("tables.sql"), []byte(sql), 0o600)
	if err := os.Mkdir(v.path("db"), 0o700); err != nil {
		v.t.Fatalf("%v", err)
	}
	argv := []string{
		lookPath("mariadbd"), "--no-defaults", "--datadir=" + v.path("db"),
		"--socket=" + v.path("socket"), "--pid-file=" + v.path("pid"), "--skip-networking",
		"--skip-grant-tables", "--innodb=OFF", "--default-storage-engine=Aria", "--init-file=" + v.path("tables.sql"),
	}
	if os.Getuid() == 0 {
		argv = append(argv, "--user=root") // it takes no other hint that this is meant
	}
	s := start(v.t, "mariadbd", v.dir, v.env, nil, nil, argv...)
	s.waitFor("end of its start", func() bool {
		out, _ := os.ReadFile(s.log)
		return bytes.Contains(out, []byte("ready for connections"))
	})
	if out, _ := os.ReadFile(s.log); bytes.Contains(out, []byte("[ERROR]")) {
		v.t.Fatalf("mariadbd: %s", tail(out))
	}
	return s
}

// privateNetwork is what to put before the command line of a program that is
// to have a network of its own. root may just ask for one; others, and root in
// many a container, must be root of a user namespace first.
func privateNetwork(t TB) []string {
	t.Helper()
	for _, unshare := range [][]string{{"unshare", "--net"}, {"unshare", "--net", "--user", "--map-root-user"}} {
		if exec.Command(unshare[0], append(slices.Clone(unshare[1:]), "true")...).Run() == nil {
			return unshare
		}
	}
	const text = "voms-server listens at all addresses, and this machine gives it no network of its own: no CAP_SYS_ADMIN, no user namespaces"
	if os.Getenv("X509CH_LAB") == "require" {
		t.Fatalf("%s", text)
	}
	t.Skipf("%s", text)
	return nil
}
