#!/bin/bash
# Trains on two machines of eight GPUs each with Slurm: sbatch docs/examples/slurm.sh
# One task is one rank. srun tells each its place in SLURM_* variables; torch.distributed's names are set from them.
#SBATCH --job-name=pgpc
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# A run that is told to stop writes its checkpoint first.
#SBATCH --signal=INT@300
set -euo pipefail

RUN=${RUN:-runs/gta5-cityscapes}
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=${MASTER_PORT:-29500}
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

# The run directory has to be on storage that all machines see. A job that is submitted again resumes from its
# last checkpoint.
if compgen -G "$RUN/checkpoints/*/training.safetensors" > /dev/null; then
  ARGUMENTS=(--resume "$RUN")
else
  ARGUMENTS=(--preset gta5-cityscapes --source-root data/gta5 --target-root data/cityscapes
    --out "$(dirname "$RUN")" --name "$(basename "$RUN")" --overwrite)
fi

# --kill-on-bad-exit: when one rank fails, the others end at once.
srun --kill-on-bad-exit=1 bash -c '
  export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
  export LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
  exec npx pgpc train "$@"
' pgpc "${ARGUMENTS[@]}"
