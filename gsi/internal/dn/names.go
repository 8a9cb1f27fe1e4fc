package dn

import (
	"encoding/asn1"
	"strings"
)

var oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}

// shortNames are OpenSSL's short names of the attribute types that occur in
// names; gridmaps, signing policies and .lsc files are written with them.
var shortNames = map[string]string{
	"2.5.4.3":                    "CN",
	"2.5.4.4":                    "SN",
	"2.5.4.5":                    "serialNumber",
	"2.5.4.6":                    "C",
	"2.5.4.7":                    "L",
	"2.5.4.8":                    "ST",
	"2.5.4.9":                    "street",
	"2.5.4.10":                   "O",
	"2.5.4.11":                   "OU",
	"2.5.4.12":                   "title",
	"2.5.4.13":                   "description",
	"2.5.4.15":                   "businessCategory",
	"2.5.4.16":                   "postalAddress",
	"2.5.4.17":                   "postalCode",
	"2.5.4.20":                   "telephoneNumber",
	"2.5.4.41":                   "name",
	"2.5.4.42":                   "GN",
	"2.5.4.43":                   "initials",
	"2.5.4.44":                   "generationQualifier",
	"2.5.4.45":                   "x500UniqueIdentifier",
	"2.5.4.46":                   "dnQualifier",
	"2.5.4.51":                   "houseIdentifier",
	"2.5.4.65":                   "pseudonym",
	"2.5.4.72":                   "role",
	"2.5.4.97":                   "organizationIdentifier",
	"0.9.2342.19200300.100.1.1":  "UID",
	"0.9.2342.19200300.100.1.3":  "mail",
	"0.9.2342.19200300.100.1.25": "DC",
	oidUniqueIdentifier:          "uid",
	"1.2.840.113549.1.9.1":       "emailAddress",
	"1.2.840.113549.1.9.2":       "unstructuredName",
	"1.2.840.113549.1.9.8":       "unstructuredAddress",
	"1.3.6.1.4.1.311.60.2.1.1":   "jurisdictionL",
	"1.3.6.1.4.1.311.60.2.1.2":   "jurisdictionST",
	"1.3.6.1.4.1.311.60.2.1.3":   "jurisdictionC",
}

// aliases are further names of attribute types in text, in lower case. The
// first three are the ones that Globus treats as equal (globus_gsi_cert_utils,
// globus_l_gsi_cert_utils_normalize_dn).
var aliases = map[string]string{
	"e":                      "1.2.840.113549.1.9.1",
	"email":                  "1.2.840.113549.1.9.1",
	"userid":                 "0.9.2342.19200300.100.1.1",
	"commonname":             "2.5.4.3",
	"surname":                "2.5.4.4",
	"countryname":            "2.5.4.6",
	"localityname":           "2.5.4.7",
	"s":                      "2.5.4.8",
	"stateorprovincename":    "2.5.4.8",
	"streetaddress":          "2.5.4.9",
	"organizationname":       "2.5.4.10",
	"organizationalunitname": "2.5.4.11",
	"t":                      "2.5.4.12",
	"givenname":              "2.5.4.42",
	"g":                      "2.5.4.42",
	"domaincomponent":        "0.9.2342.19200300.100.1.25",
}

func (a *Attribute) shortName() string {
	oid := a.OID.String()
	if name, ok := shortNames[oid]; ok {
		return name
	}
	return oid
}

// oidUniqueIdentifier has a short name that differs from UID's in case alone.
const oidUniqueIdentifier = "0.9.2342.19200300.100.1.44"

// isNamed reports whether text names the attribute's type. Names of types
// carry no case (RFC 4512 section 1.4); "uid" is UID, as everybody but OpenSSL
// writes it, and in just that case OpenSSL's unique identifier, too.
func (a *Attribute) isNamed(text string) bool {
	oid := a.OID.String()
	text = strings.TrimPrefix(text, "OID.")
	switch {
	case text == "":
		return false
	case oid == oidUniqueIdentifier:
		return text == oid || text == shortNames[oid]
	}
	return text == oid || strings.EqualFold(text, shortNames[oid]) || aliases[strings.ToLower(text)] == oid
}
