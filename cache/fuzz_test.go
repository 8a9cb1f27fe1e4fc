package cache

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// FuzzOpen: nobody without the key makes an entry that opens.
func FuzzOpen(f *testing.F) {
	key, err := newDataKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	id := key.entryID(binding("atlas"))
	good, err := hex.DecodeString(knownSealed) // the same in every fuzzing process
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := key.open(id, data)
		if err == nil && !bytes.Equal(data, good) {
			t.Errorf("opened: %q", plain)
		}
		if err != nil && !errors.Is(err, errDamaged) {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzDecodeEntry: the runtime store has no seal, so this reads whatever is
// there. What it accepts it must write back the same.
func FuzzDecodeEntry(f *testing.F) {
	e := entry(f, binding("atlas"), time.Hour)
	e.PEM = e.PEM[:bytes.Index(e.PEM, []byte("-----BEGIN PRIVATE"))] // small is fast
	good, err := encodeEntry(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Errorf("got %v", err)
			}
			return
		}
		again, err := encodeEntry(e)
		if err != nil {
			return // a year that JSON cannot write
		}
		back, err := decodeEntry(again)
		if err != nil || !back.Binding.equal(e.Binding) || !back.NotAfter.Equal(e.NotAfter) || !bytes.Equal(back.PEM, e.PEM) {
			t.Errorf("got %+v, %v; want %+v", back, err, e)
		}
	})
}

// FuzzRecords: the files of locks and the data key's item.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"v":1,"failure":{"at":{"boot":"b","since":5},"record":"eA=="},"state":"eQ=="}`))
	f.Add([]byte(`{"v":1,"mac":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","server":"s","message":"m","at":{"boot":"b","since":5},"count":9}`))
	f.Add([]byte(`{"v":1,"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if rec := parseEntryRecord(data); rec.V != 1 {
			t.Errorf("version %d", rec.V)
		}
		if r := parseRefusal(data); r != nil && (r.wait() < firstWait || r.wait() > lastWait) {
			t.Errorf("waits %v", r.wait())
		}
		if account, _, ok := parseRescue(data); ok && account == "" {
			t.Error("a rescued secret of nobody's")
		}
		if key, ok := parseDataKey(data); ok && len(key) != dataKeySize {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}

// TestRedacted: an entry that ends up in a log does not show its key.
func TestRedacted(t *testing.T) {
	e := entry(t, binding("atlas"), time.Hour)
	data, err := json.Marshal(e)
	if err != nil || bytes.Contains(data, []byte("PRIVATE")) || !bytes.Contains(data, []byte("[redacted]")) {
		t.Errorf("%s, %v", data, err)
	}
}
