"""The scheme `threshold`: nobody ever holds the secret key; any t of n members open a sum together.

After Mouchet et al., "Multiparty homomorphic encryption from ring-learning-with-errors" (ePrint 2020/304), with
Shamir shares over each prime field. A member's secrets live in its worker process and in one file of mode 0600.
"""
