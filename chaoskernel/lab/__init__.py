"""A throwaway virtual machine whose kernel can be made to fail; knows nothing of faults."""
