#!/bin/sh
# Submits a job to a scheduler and prints its id, or prints what became of one: running, success or failed.
#   scheduler.sh sge|lsf|pbs submit RULE THREADS MEGABYTES ATTEMPT MINUTES GPUS SCRIPT
#   scheduler.sh sge|lsf|pbs status ID
# Written from the manuals and UNTESTED on a real scheduler. Clusters differ: add your queue, project and GPU type.
set -eu
scheduler=$1 action=$2
shift 2

submit() {
  rule=$1 threads=$2 memory=$(($3 * $4)) minutes=$5 gpus=$6 script=$7
  logs=$PWD/.snakemake/generic_logs
  mkdir -p "$logs"
  case $scheduler in
    sge) # a parallel environment named smp; not h_vmem: CUDA reserves far more virtual memory than it uses
      set -- -terse -cwd -V -j y -o "$logs" -N "$rule" -pe smp "$threads" -l "mem_free=${memory}M,h_rt=$((minutes * 60))"
      [ "$gpus" -eq 0 ] || set -- "$@" -l "gpu=$gpus"
      qsub "$@" "$script"
      ;;
    lsf)
      set -- -cwd "$PWD" -o "$logs/%J.log" -J "$rule" -n "$threads" -R "span[hosts=1] rusage[mem=${memory}MB]" -W "$minutes"
      [ "$gpus" -eq 0 ] || set -- "$@" -gpu "num=$gpus"
      bsub "$@" "$script" | sed -n 's/^Job <\([0-9]*\)>.*/\1/p'
      ;;
    pbs) # from its home folder, where PBS starts it, the script goes where it belongs by itself
      resources=select=1:ncpus=$threads:mem=${memory}mb
      [ "$gpus" -eq 0 ] || resources=$resources:ngpus=$gpus
      qsub -V -j oe -o "$logs" -N "$rule" -l "$resources" -l "walltime=$((minutes * 60))" "$script"
      ;;
  esac
}

status() {
  case $scheduler in
    sge) # a job that has left the queue appears in the accounting file some time later
      if qstat -j "$1" > /dev/null 2>&1; then
        echo running
      elif account=$(qacct -j "$1" 2> /dev/null); then
        failed=$(printf '%s\n' "$account" | awk '$1 == "failed" || $1 == "exit_status" { worst += $2 != 0 } END { print worst + 0 }')
        [ "$failed" -eq 0 ] && echo success || echo failed
      else
        echo running
      fi
      ;;
    lsf)
      case $(bjobs -noheader -o stat "$1" 2> /dev/null) in
        DONE) echo success ;;
        EXIT) echo failed ;;
        *) echo running ;;
      esac
      ;;
    pbs) # -x: finished jobs too, as long as the server remembers them
      job=$(qstat -x -f "$1" 2> /dev/null) || job=
      case $job in
        *'job_state = F'*'Exit_status = 0'* | *'Exit_status = 0'*'job_state = F'*) echo success ;;
        *'job_state = F'*) echo failed ;;
        *) echo running ;;
      esac
      ;;
  esac
}

"$action" "$@"
