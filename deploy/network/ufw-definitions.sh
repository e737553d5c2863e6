#!/usr/bin/env bash
# Who is who, for ufw.sh: addresses or networks of both families, separated by spaces. Replace the example addresses.
# shellcheck disable=SC2034 # ufw.sh uses them
admins='198.51.100.10 2001:db8:a::10'
monitoring='10.0.4.10 2001:db8:4::10'
proxies='10.0.1.10 10.0.1.11 2001:db8:1::10 2001:db8:1::11'
servers='10.0.2.10 10.0.2.11 10.0.2.12 2001:db8:2::10 2001:db8:2::11 2001:db8:2::12'
databases='10.0.3.10 10.0.3.11 2001:db8:3::10 2001:db8:3::11'
redis='10.0.3.20 2001:db8:3::20'
