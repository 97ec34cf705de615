"""Ids, checked values and the ports through which the roles see the world. Imports no outside technology."""
