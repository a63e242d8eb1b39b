package origin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lfsType is the media type of git-lfs (its docs/api).
const lfsType = "application/vnd.git-lfs+json"

var objectID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// lfsMutex guards the lock files of all repositories.
var lfsMutex sync.Mutex

// LFSObject is the file of an object of the repository that git-lfs uploads and downloads. It is there only if somebody put it there.
func (g *Git) LFSObject(repository, id string) string {
	return filepath.Join(g.Root, filepath.FromSlash(repository), "lfs", id)
}

// serveLFS answers git-lfs, if the request is one of its requests: objects by the transfer "basic", and locks.
func (g *Git) serveLFS(w http.ResponseWriter, r *http.Request) bool {
	repository, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/info/lfs/")
	if !ok || !filepath.IsLocal(repository) {
		return false
	}
	if _, err := os.Stat(filepath.Join(g.Root, repository, "HEAD")); err != nil {
		http.NotFound(w, r)
		return true
	}
	if err := os.MkdirAll(filepath.Join(g.Root, repository, "lfs"), 0o700); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return true
	}
	base := "https://" + r.Host + "/" + repository + "/info/lfs/"
	id, isObject := strings.CutPrefix(rest, "objects/")
	lock, isLock := strings.CutPrefix(rest, "locks")
	switch {
	case rest == "objects/batch" && r.Method == http.MethodPost:
		g.lfsBatch(w, r, repository, base)
	case isObject && objectID.MatchString(id):
		g.lfsObject(w, r, g.LFSObject(repository, id), id)
	case isLock:
		lfsMutex.Lock()
		defer lfsMutex.Unlock()
		g.lfsLocks(w, r, filepath.Join(g.Root, repository, "lfs", "locks.json"), lock)
	default:
		http.NotFound(w, r)
	}
	return true
}

func writeLFS(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", lfsType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func readLFS(w http.ResponseWriter, r *http.Request, v any) bool {
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(v)
	if err != nil && !errors.Is(err, io.EOF) {
		writeLFS(w, http.StatusUnprocessableEntity, map[string]string{"message": err.Error()})
		return false
	}
	return true
}

func (g *Git) lfsBatch(w http.ResponseWriter, r *http.Request, repository, base string) {
	type action struct {
		Href string `json:"href"`
	}
	type object struct {
		ID      string            `json:"oid"`
		Size    int64             `json:"size"`
		Actions map[string]action `json:"actions,omitempty"`
		Error   map[string]any    `json:"error,omitempty"`
	}
	var batch struct {
		Operation string   `json:"operation"`
		Transfer  string   `json:"transfer"`
		Objects   []object `json:"objects"`
	}
	if !readLFS(w, r, &batch) {
		return
	}
	for i, o := range batch.Objects {
		href := action{base + "objects/" + o.ID}
		_, err := os.Stat(g.LFSObject(repository, o.ID))
		switch {
		case !objectID.MatchString(o.ID):
			batch.Objects[i].Error = map[string]any{"code": http.StatusUnprocessableEntity, "message": "no object id"}
		case batch.Operation == "upload" && err != nil:
			batch.Objects[i].Actions = map[string]action{"upload": href}
		case batch.Operation == "download" && err != nil:
			batch.Objects[i].Error = map[string]any{"code": http.StatusNotFound, "message": "no such object"}
		case batch.Operation == "download":
			batch.Objects[i].Actions = map[string]action{"download": href}
		}
	}
	batch.Transfer = "basic"
	writeLFS(w, http.StatusOK, batch)
}

func (g *Git) lfsObject(w http.ResponseWriter, r *http.Request, path, id string) {
	switch r.Method {
	case http.MethodGet:
		http.ServeFile(w, r, path)
	case http.MethodPut:
		f, err := os.CreateTemp(filepath.Dir(path), ".upload-*")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer os.Remove(f.Name())
		sum := sha256.New()
		_, err = io.Copy(io.MultiWriter(f, sum), r.Body)
		if err = errors.Join(err, f.Close()); err == nil && hex.EncodeToString(sum.Sum(nil)) != id {
			err = errors.New("the object is not the one that its id names")
		}
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

type lfsLock struct {
	ID       string            `json:"id"`
	Path     string            `json:"path"`
	LockedAt time.Time         `json:"locked_at"`
	Owner    map[string]string `json:"owner"`
}

func (g *Git) lfsLocks(w http.ResponseWriter, r *http.Request, file, rest string) {
	var locks []lfsLock
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &locks)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	save := func() {
		if b, err := json.Marshal(locks); err == nil {
			_ = os.WriteFile(file, b, 0o600)
		}
	}
	id, unlock := strings.CutSuffix(strings.TrimPrefix(rest, "/"), "/unlock")
	switch {
	case r.Method == http.MethodGet && rest == "":
		shown := []lfsLock{}
		for _, l := range locks {
			if p := r.URL.Query().Get("path"); p == "" || p == l.Path {
				shown = append(shown, l)
			}
		}
		writeLFS(w, http.StatusOK, map[string]any{"locks": shown})
	case r.Method == http.MethodPost && rest == "/verify":
		writeLFS(w, http.StatusOK, map[string]any{"ours": append([]lfsLock{}, locks...), "theirs": []lfsLock{}})
	case r.Method == http.MethodPost && rest == "":
		var want struct{ Path string }
		if !readLFS(w, r, &want) {
			return
		}
		for _, l := range locks {
			if l.Path == want.Path {
				writeLFS(w, http.StatusConflict, map[string]any{"message": "already locked", "lock": l})
				return
			}
		}
		l := lfsLock{strconv.Itoa(int(time.Now().UnixNano())), want.Path, time.Now().UTC().Truncate(time.Second), map[string]string{"name": "git"}}
		locks = append(locks, l)
		save()
		writeLFS(w, http.StatusCreated, map[string]any{"lock": l})
	case r.Method == http.MethodPost && unlock:
		for i, l := range locks {
			if l.ID == id {
				locks = append(locks[:i], locks[i+1:]...)
				save()
				writeLFS(w, http.StatusOK, map[string]any{"lock": l})
				return
			}
		}
		writeLFS(w, http.StatusNotFound, map[string]string{"message": "no such lock"})
	default:
		http.NotFound(w, r)
	}
}
