"""The distributed hash table: values under keys, and who provides what, behind one port.

`memory` keeps everything in this process, `stored` in the cluster's key-value buckets, and `hybrid`
is the second with a place to go while the cluster cannot be reached.
"""
