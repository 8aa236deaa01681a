"""What Chaos Mesh does: KernelChaos and Schedule documents, selection, and their life."""
