#!/usr/bin/env bash
# The hosts by their roles, for ufw.sh: addresses or networks of both families, separated by spaces. Replace the example addresses, which are those of definitions.nft.
# shellcheck disable=SC2034 # ufw.sh uses them
admins='10.0.3.5 198.51.100.10 2001:db8:a::10'
monitoring='10.0.3.5 2001:db8:3::5'
proxies='10.0.1.2 10.0.1.3 2001:db8:1::2 2001:db8:1::3'
servers='10.0.1.10 10.0.1.11 10.0.1.12 2001:db8:1::10 2001:db8:1::11 2001:db8:1::12'
databases='10.0.2.7 10.0.2.8 2001:db8:2::7 2001:db8:2::8'
redis='10.0.2.20 2001:db8:2::20'
