#!/bin/bash
# Train on several machines under SLURM; the job goes back into the queue until the training is done.
#   sbatch docs/slurm_train.sh runs/music --preset music-k16 --data prepared/train.csv
# The first argument is the run's folder, which all machines must see; the others are those of a new `sopedu train`.
# Tested with stand-ins for srun and scontrol, not yet on a cluster: adapt the lines below to yours.
#SBATCH --job-name=sopedu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# 120 seconds before the time is over, SLURM sends SIGTERM to this script only:
#SBATCH --signal=B:TERM@120

set -u
RESUME_STATUS=75 # the exit status of `sopedu train` after SIGTERM, if it can resume
out=${1:?usage: sbatch docs/slurm_train.sh FOLDER [options of sopedu train]}
shift

if [ -e "$out/resume/latest" ]; then
    arguments=(--out "$out" --resume) # the settings are in the folder
else
    arguments=(--out "$out" "$@")
fi
nodes=${SLURM_JOB_NUM_NODES:-1}
first=$(scontrol show hostnames "${SLURM_JOB_NODELIST:-localhost}" | head -n 1)
port=$((20000 + ${SLURM_JOB_ID:-0} % 20000))

# c10d numbers the machines; a process that fails is not restarted here, but by the next job.
srun --kill-on-bad-exit=1 torchrun --nnodes "$nodes" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --max-restarts 0 \
    --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-id "${SLURM_JOB_ID:-0}" \
    -m sopedu train "${arguments[@]}" &
step=$!

told=no
trap 'told=yes; kill -TERM "$step"' TERM # srun passes it on to torchrun, and torchrun to every process
wait "$step"
status=$?
while kill -0 "$step" 2>/dev/null; do # a signal ends `wait`, not the training
    wait "$step"
    status=$?
done

# torchrun turns the 75 of its processes into 1, so that SIGTERM came counts as much.
if [ "$status" -eq "$RESUME_STATUS" ] || { [ "$told" = yes ] && [ "$status" -ne 0 ]; }; then
    if [ -e "$out/resume/latest" ]; then
        echo "SIGTERM: back into the queue"
        scontrol requeue "$SLURM_JOB_ID"
        exit "$RESUME_STATUS"
    fi
fi
exit "$status"
