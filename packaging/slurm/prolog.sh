#!/bin/sh
# Prolog of slurmd, as root: notes that a job of this user is on this node, for
# epilog.sh. It never fails: that would put the node into DRAIN.
#
#   slurm.conf: Prolog=/etc/slurm/x509-credential-helper/prolog.sh
jobs=/run/x509-credential-helper-jobs
case ${SLURM_JOB_UID:-} in '' | 0 | *[!0-9]*) exit 0 ;; esac
mkdir -p "$jobs" && chmod 700 "$jobs" || exit 0
# In a shell of its own: what cannot be opened, in a full /run, ends that one.
(
	flock -w 10 9 || exit
	mkdir -p "$jobs/$SLURM_JOB_UID" && : >"$jobs/$SLURM_JOB_UID/${SLURM_JOB_ID:-0}"
) 9>"$jobs/lock"
exit 0
