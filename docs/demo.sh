#!/bin/sh
# The main job in one minute: a MyProxy server, a pass phrase, a proxy, and the
# same proxy again from the cache. It needs Go and a POSIX shell, nothing else:
# the server is the sandbox inside the program, on a loopback address.
#
#   make demo      or      sh docs/demo.sh
#
# Everything is written below one temporary directory, which is removed at the
# end. Where this machine has a keyring that works, the pass phrase goes there
# and is erased at the end; where it has none, the demo says so and shows what is
# different then.
set -eu

cd "$(dirname "$0")/.."
umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/x509-demo-XXXXXX")
sandbox=

finish() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ -n "$sandbox" ]; then
		kill -TERM "$sandbox" 2>/dev/null || :
		wait "$sandbox" 2>/dev/null || :
	fi
	rm -rf "$tmp"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then
	say() { printf '\n%s\n' "$*"; }
fi
typed() { printf '$ %s\n' "$*"; }

# show prints an answer a field a line, and not the private key in it.
show() {
	sed 's/"pem":"[^"]*"/"pem":"(proxy certificate, private key, issuers: not shown)"/' |
		awk '{ gsub(/,"/, ",\n    \""); print "  " $0 }'
}

# failed stops the demo and shows the last answer.
failed() {
	printf 'demo: %s:\n' "$1" >&2
	show <"$tmp/answer.json" >&2
	exit 1
}

# expect stops the demo if the last answer does not hold what it should.
expect() {
	grep -q "$1" "$tmp/answer.json" || failed "the answer should hold $1, but is"
}

say "1. Build: one static program"
typed 'CGO_ENABLED=0 go build -tags urfave_cli_no_docs,nethttpomithttp2 ./cmd/x509-credential-helper'
CGO_ENABLED=0 go build -tags urfave_cli_no_docs,nethttpomithttp2 -trimpath -ldflags '-s -w' -o "$tmp/x509-credential-helper" ./cmd/x509-credential-helper

# From here on in a world of its own: no configuration, cache or state of yours
# is touched.
unset X509_CREDENTIAL_PROFILE MYPROXY_SERVER MYPROXY_SERVER_PORT MYPROXY_SERVER_DN X509_USER_PROXY X509_CERT_DIR
export XDG_CACHE_HOME="$tmp/cache" XDG_STATE_HOME="$tmp/state" XDG_CONFIG_HOME="$tmp/config"
export X509_CREDENTIAL_HELPER_CONFIG="$tmp/sandbox/config.toml"
PATH="$tmp:$PATH"

say "2. Start a throw-away MyProxy server"
typed 'x509-credential-helper sandbox'
: >"$tmp/guide"
x509-credential-helper sandbox --dir "$tmp/sandbox" >"$tmp/guide" 2>"$tmp/sandbox.err" &
sandbox=$!
tries=0
until grep -q 'In another terminal' "$tmp/guide"; do
	tries=$((tries + 1))
	if [ "$tries" -gt 60 ] || ! kill -0 "$sandbox" 2>/dev/null; then
		echo 'demo: the sandbox did not start:' >&2
		cat "$tmp/sandbox.err" >&2
		exit 1
	fi
	sleep 1
done
head -n 7 "$tmp/guide"
echo
sed 's/^/    /' "$tmp/sandbox/config.toml"
passphrase=$(sed -n 's/^  pass phrase *//p' "$tmp/guide")

if grep -q '^passphrases = "keyring"' "$tmp/sandbox/config.toml"; then
	keyring=yes
	say "3. This machine has a keyring: the pass phrase goes there, once"
	typed "x509-credential-helper store     # reads {\"secret\":{\"kind\":\"passphrase\",\"value\":\"...\"}}"
	printf '{"secret":{"kind":"passphrase","value":"%s"}}' "$passphrase" | x509-credential-helper store >"$tmp/answer.json" || failed "store"
	show <"$tmp/answer.json"
	expect '"stored_in":"keyring"'
else
	keyring=no
	say "3. This machine has no keyring that works: the pass phrase is used once and not kept"
	typed "x509-credential-helper login --passphrase-stdin"
	printf '%s\n' "$passphrase" | x509-credential-helper login --passphrase-stdin
fi

say "4. A tool asks for a proxy"
echo '{"min_lifetime": 3600}' >"$tmp/request.json"
typed "cat request.json"
cat "$tmp/request.json"
typed "x509-credential-helper get < request.json"
x509-credential-helper get <"$tmp/request.json" >"$tmp/answer.json" || failed "get"
show <"$tmp/answer.json"
if [ "$keyring" = yes ]; then
	expect '"source":"backend"'
	echo "  (source: backend. It was fetched with the pass phrase from the keyring.)"

	say "5. And again: from the cache, without the network"
	typed "x509-credential-helper get < request.json"
	x509-credential-helper get <"$tmp/request.json" >"$tmp/answer.json" || failed "get"
	show <"$tmp/answer.json" | sed 4q
	expect '"source":"cache"'
else
	expect '"source":"cache"'
	echo "  (source: cache. It is the proxy that login fetched, and it lies in a private file.)"

	say "5. A new one needs a human, because the pass phrase was not kept"
	typed "echo '{\"cache\":\"bypass\"}' | x509-credential-helper get"
	echo '{"cache":"bypass"}' | x509-credential-helper get >"$tmp/answer.json" || echo "  (exit status $?)"
	show <"$tmp/answer.json"
	expect '"code":"interaction_required"'
fi

say "6. Tools that know only files"
typed "x509-credential-helper exec -- sh -c 'ls -l \$X509_USER_PROXY'"
x509-credential-helper exec -- sh -c 'ls -l "$X509_USER_PROXY"'

say "7. What is there"
typed "x509-credential-helper status"
x509-credential-helper status

say "8. Clean up"
typed "echo '{\"what\":[\"all\"]}' | x509-credential-helper erase"
echo '{"what":["all"]}' | x509-credential-helper erase >"$tmp/answer.json" || failed "erase"
show <"$tmp/answer.json"
expect '"credentials":1'
if [ "$keyring" = yes ]; then
	echo '  (In the keyring stays one item, "data-key:v1": the key under which caches are sealed.)'
fi
