// Stand-ins for vendors' globals while these are held.
