package fakesecret

import "github.com/godbus/dbus/v5"

func (s *Service) openSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	_, err := s.enter("OpenSession")
	return dbus.MakeVariant(""), sessionPath, err
}

func (s *Service) unlock(paths []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	b, err := s.enter("Unlock")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlocks++
	if b.Locked {
		return nil, promptPath, err
	}
	unlocked := []dbus.ObjectPath{}
	for _, path := range paths {
		if _, ok := s.items[path]; ok || path == LoginPath || path == DefaultPath {
			unlocked = append(unlocked, path)
		}
	}
	return unlocked, "/", err
}

func (s *Service) collections(who dbus.Sender, _, _ string) (dbus.Variant, *dbus.Error) {
	b, err := s.enter("Collections")
	s.mu.Lock()
	s.known[who] = true
	s.mu.Unlock()
	if b.NoLogin {
		return dbus.MakeVariant([]dbus.ObjectPath{}), err
	}
	return dbus.MakeVariant([]dbus.ObjectPath{LoginPath}), err
}

// property answers nobody whose first question this is: gnome-keyring aborts
// then, if it is unlucky.
func (s *Service) property(who dbus.Sender, _, _ string) (dbus.Variant, *dbus.Error) {
	b, err := s.enter("Locked")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[who] {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.NoReply", []any{"the service aborted"})
	}
	return dbus.MakeVariant(b.Locked), err
}

func (s *Service) createItem(props map[string]dbus.Variant, secret Secret, replace bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	b, err := s.enter("CreateItem")
	if b.PromptSet {
		return "/", promptPath, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	attributes, _ := props[prefix+"Item.Attributes"].Value().(map[string]string)
	item := Item{Attributes: attributes, Secret: secret.Value}
	if b.Forget {
		return "/", "/", err
	}
	if old := s.search(attributes); replace && len(old) > 0 {
		s.items[old[0]] = Item{Attributes: s.items[old[0]].Attributes, Secret: item.Secret}
		return old[0], "/", err
	}
	path, failed := s.put(item)
	if failed != nil {
		return "/", "/", dbus.MakeFailedError(failed)
	}
	return path, "/", err
}

func (s *Service) searchItems(want map[string]string) ([]dbus.ObjectPath, *dbus.Error) {
	_, err := s.enter("SearchItems")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.search(want), err
}

func (s *Service) getSecret(m dbus.Message, session dbus.ObjectPath) (Secret, *dbus.Error) {
	_, err := s.enter("GetSecret")
	s.mu.Lock()
	defer s.mu.Unlock()
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	return Secret{session, nil, s.items[path].Secret, "text/plain"}, err
}

func (s *Service) deleteItem(m dbus.Message) (dbus.ObjectPath, *dbus.Error) {
	b, err := s.enter("Delete")
	if b.PromptDel {
		return promptPath, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	s.forget(path)
	return "/", err
}

func (s *Service) close() *dbus.Error {
	_, err := s.enter("Close")
	return err
}

func (s *Service) prompt(string) *dbus.Error {
	b, err := s.enter("Prompt")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prompts++
	switch b.OnPrompt {
	case Accept:
		s.be.Locked = false
		s.emit(false, []dbus.ObjectPath{LoginPath})
	case Dismiss:
		s.emit(true, "")
	}
	return err
}
