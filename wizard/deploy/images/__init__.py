"""Images on this machine: kernels, initrds and ISOs that nodes boot over the network. Nothing here fetches anything.

sources     what a person has (files, an ISO, a Debian package) -> the files of an image
package     reads a Debian package
iso         reads an ISO
loaders     boot loaders out of Debian's packages
here        what of all this is here, for the rules
store       the directory of images: add, list, check, remove; each whole or gone
templates   reads the seed template that a person puts in the place of ours
"""
