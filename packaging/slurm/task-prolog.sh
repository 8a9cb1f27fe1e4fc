#!/bin/sh
# TaskProlog of slurmd, as the user: a task begins with a proxy in
# X509_USER_PROXY, in a job that was submitted with X509_CREDENTIAL_PROFILE. It is
# renewed once on each node, whatever the number of tasks; a task that goes on for
# longer than its proxy runs "x509-credential-helper exec --keep-fresh -- ...".
# Without a proxy the task begins all the same, and its output begins with why.
#
#   slurm.conf: TaskProlog=/etc/slurm/x509-credential-helper/task-prolog.sh
[ -n "${X509_CREDENTIAL_PROFILE:-}" ] || exit 0
: "${X509_CREDENTIAL_HELPER_STORE:=file}" # no keyring on nodes
export X509_CREDENTIAL_HELPER_STORE
# Lines of the form "export NAME=VALUE" and "print TEXT" are for slurmstepd.
echo "export X509_CREDENTIAL_HELPER_STORE=$X509_CREDENTIAL_HELPER_STORE"
{
	x509-credential-helper exec --no-prompt -- sh -c 'for name in X509_USER_PROXY X509_CERT_DIR XrdSecGSICREATEPROXY; do
		eval "value=\${$name:-}"
		[ -z "$value" ] || echo "export $name=$value"
	done' </dev/null 2>&1 >&3 | sed 's/^/print /'
} 3>&1
exit 0
