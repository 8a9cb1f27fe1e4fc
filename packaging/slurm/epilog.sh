#!/bin/sh
# Epilog of slurmd, as root: removes what x509-credential-helper has left on this
# node when the last job of a user ends. An array has a job for each task, so the
# proxy stays as long as one of them is here. A node that was started anew has
# forgotten its jobs, and its /dev/shm with them. It never fails: that would put
# the node into DRAIN.
#
#   slurm.conf: Epilog=/etc/slurm/x509-credential-helper/epilog.sh
jobs=/run/x509-credential-helper-jobs
case ${SLURM_JOB_UID:-} in '' | 0 | *[!0-9]*) exit 0 ;; esac
mkdir -p "$jobs" || exit 0
# In a shell of its own: what cannot be opened, in a full /run, ends that one.
(
	flock -w 10 9 || exit
	rm -f "$jobs/$SLURM_JOB_UID/${SLURM_JOB_ID:-0}"
	# rmdir says whether it was the last; rm -r follows no link.
	if [ ! -e "$jobs/$SLURM_JOB_UID" ] || rmdir "$jobs/$SLURM_JOB_UID" 2>/dev/null; then
		rm -rf "/dev/shm/x509-credential-helper-$SLURM_JOB_UID" "/tmp/x509-credential-helper-$SLURM_JOB_UID"
	fi
) 9>"$jobs/lock"
exit 0
